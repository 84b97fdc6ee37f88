"""What a test tells the fake to say, and when."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias

from litertlm.errors import OptionError
from litertlm.messages import Message
from litertlm.options import TurnOptions, check_integer, check_number

__all__ = ["ContractError", "FakeReply", "Gate", "Place", "Responder", "ScriptError"]

Place: TypeAlias = Literal["prefill", "decode", "end"] | int
"""Somewhere in a reply: before its first chunk, after its first chunk, after its last chunk, or after that
many chunks."""


class ScriptError(AssertionError):
    """The application did something that the test's script does not foresee, or not what it foresees."""


class ContractError(AssertionError):
    """An engine was used in a way that its contract forbids: a bug of whoever drives it, not of the test."""


@dataclass(frozen=True, slots=True)
class FakeReply:
    """One reply of the fake.

    Args:
        text: The answer.
        thinking: The thinking channel, before the answer; left out of a turn in which thinking is off.
        tool_calls: Name and arguments of each call, after the answer.
        error: How the turn fails. A :class:`~litertlm.LiteRTLMError` ends the turn, as an engine's failures
            do; anything else, for example ``KeyboardInterrupt()``, is raised where the reply is read.
        error_at: Where: ``"start"``: the turn does not begin at all; otherwise a :data:`Place`, by default
            after the last chunk.
        chunk_tokens: Tokens in a chunk of text, >= 1; None: all text in one chunk. A tool call is a chunk.
        delay: Seconds before every chunk. They pass at once unless ``FakeEngine(real_time=True)``, but are
            part of timings and count against timeouts.
        prefill: Seconds before the first chunk, likewise, beside its ``delay``.

    Raises:
        OptionError: A value is out of range.
    """

    text: str = ""
    thinking: str = ""
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    error: BaseException | None = None
    error_at: Place | Literal["start"] = "end"
    chunk_tokens: int | None = 1
    delay: float = 0.0
    prefill: float = 0.0

    def __post_init__(self) -> None:
        check_integer("chunk_tokens", self.chunk_tokens, 1, 2**31 - 1)
        check_number("delay", self.delay, 0.0, math.inf)
        check_number("prefill", self.prefill, 0.0, math.inf)
        if self.error_at != "start":
            check_place("error_at", self.error_at)


Responder: TypeAlias = Callable[[tuple[Message, ...], TurnOptions], "str | FakeReply"]
"""Makes a reply of the whole conversation, the message to be answered last, and the turn's options. For a
completion the conversation is one user message, the prompt."""


class Gate:
    """Holds a turn at one place until the test lets it go on.

    Made by ``enqueue(..., hold=...)`` and :meth:`FakeEngine.hold`. A turn arrives when everything before the
    gate has been read. Leaving a ``with`` block of the gate releases it.

    Attributes:
        place: Where it holds a turn, None for nowhere.

    Threads: any.
    """

    def __init__(self, changed: threading.Condition, place: Place | None) -> None:
        if place is not None:
            check_place("hold", place)
        self.place = place
        self._changed = changed
        self._open = place is None
        self._arrived = 0

    @property
    def arrived(self) -> int:
        """How many turns have come to the gate."""
        return self._arrived

    @property
    def released(self) -> bool:
        """Whether it is open."""
        return self._open

    def wait(self, turns: int = 1, *, timeout: float = 30.0) -> None:
        """Wait until a turn is held.

        Args:
            turns: That many.
            timeout: Seconds.

        Raises:
            ScriptError: It did not happen in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._arrived < turns:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ScriptError(
                        f"{self._arrived} of {turns} turns came to the gate ({self.place}) in {timeout:g} s. "
                        "A turn arrives when all chunks before the gate have been read."
                    )
                self._changed.wait(left)

    def release(self) -> None:
        """Let every turn through, now and later. Idempotent."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def _arrive(self) -> None:
        """A turn has come here; the lock is held."""
        self._arrived += 1
        self._changed.notify_all()

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Gate: {self.place}, {'open' if self._open else 'closed'}, {self._arrived} arrived>"


def chunk_number(place: Place, chunks: int) -> int:
    """How many of ``chunks`` come before ``place``."""
    number = {"prefill": 0, "decode": 1, "end": chunks}[place] if isinstance(place, str) else place
    return min(number, chunks)


def check_place(name: str, place: object) -> None:
    """Raises OptionError unless it is a place in a reply."""
    if place in ("prefill", "decode", "end"):
        return
    if isinstance(place, bool) or not isinstance(place, int) or place < 0:
        raise OptionError(f'{name} must be "prefill", "decode", "end" or a number of chunks, not {place!r}')
