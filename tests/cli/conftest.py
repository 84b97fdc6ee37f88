"""The real command on the real model."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from litertlm.cli import main

from .programs import OpenTerminal, Result, RunCommand, StartProcess
from .terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours and widths as on a plain terminal, whatever the tests are run from."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "LITERTLM_LIB", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own; others share one, and with it the engine's caches."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LITERTLM_HOME", str(folder))
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """Runs a command in this process, with ``stdin`` piped in."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(status, said.out, said.err)

    return run


@pytest.fixture
def start() -> Iterator[StartProcess]:
    """Starts a command in a process of its own, with pipes."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "litertlm", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def terminal() -> Iterator[OpenTerminal]:
    """Starts a command in a terminal."""
    opened: list[Terminal] = []

    def run(*arguments: object, **environment: str) -> Terminal:
        opened.append(Terminal([sys.executable, "-m", "litertlm", *map(str, arguments)], environment))
        return opened[-1]

    yield run
    for screen in opened:
        screen.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A red picture with a space in its name."""
    import PIL.Image

    file = tmp_path / "a red one.png"
    PIL.Image.new("RGB", (64, 64), "red").save(file)
    return file


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A beep that gets louder."""
    import numpy
    import soundfile

    time = numpy.arange(16000) / 16000
    file = tmp_path / "beep.wav"
    soundfile.write(file, time * numpy.sin(2 * numpy.pi * 440 * time), 16000)
    return file
