"""A peer in a process of its own, asked in JSON lines.

So each engine has its libraries, its threads and its memory for itself, and may come from an environment of
its own: nothing but the standard library is imported by who asks.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["PeerFailed", "Worker", "interpreter"]

BENCH = Path(__file__).resolve().parent.parent


class PeerFailed(Exception):
    """A peer raised an error, or its process has died."""


class Worker:
    """A process that makes a peer and calls its methods.

    Args:
        maker: What makes it, as ``"module:name"``.
        arguments: For the maker; JSON values, as all that goes to and fro.
        python: The interpreter that has the peer installed.
        environment: Variables to set, beside those of this process.

    Raises:
        PeerFailed: It cannot be made.

    Attributes:
        made_in: Seconds that the maker took, the import of its module not counted.
    """

    def __init__(
        self,
        maker: str,
        *arguments: Any,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        path = os.pathsep.join([str(BENCH), str(BENCH.parent)])
        self._maker = maker
        self._process = subprocess.Popen(
            [python, "-m", "peers.worker", maker, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            text=True,
        )
        try:
            self.made_in: float = self._answer()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the peer.

        Raises:
            PeerFailed: It raised, or the process has died.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([method, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer tells
        return self._answer()

    def make_another(self) -> float:
        """Make a second peer, which is dropped; the seconds that its maker took."""
        seconds: float = self.ask("")
        return seconds

    def close(self) -> None:
        """End the process, whatever it does. Idempotent."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise PeerFailed(f"{self._maker} has died ({code}); set BENCH_LOUD=1 to see why")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{self._maker}: {answer['error']}")
        return answer["value"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def interpreter(peer: str, pairs: Sequence[str]) -> str:
    """Which Python runs a peer: that of its ``PEER=EXE`` on the command line, or this one.

    What is said of ``llama`` holds for ``llama-repacked`` too.
    """
    given = dict(pair.split("=", 1) for pair in pairs)
    return given.get(peer, given.get(peer.partition("-")[0], sys.executable))


def serve(maker: str, arguments: list[Any]) -> None:
    """The worker's side."""
    # Engines may print; what they say goes where their errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said, default=dataclasses.asdict) + "\n")
        answers.flush()

    module, name = maker.split(":")

    def made() -> tuple[Any, float]:
        began = time.perf_counter()
        peer = make(*arguments)
        return peer, time.perf_counter() - began

    try:
        make = getattr(importlib.import_module(module), name)
        peer, seconds = made()
        answer(value=seconds)
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        raise
    for line in sys.stdin:
        method, given = json.loads(line)
        try:
            answer(value=getattr(peer, method)(*given) if method else made()[1])
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
