"""What the engine prints.

The engine writes its log to file descriptor 2 and knows one log level for the whole process. litertlm keeps
it silent, listens when a load has failed, and hands the log to :mod:`logging` for those who ask.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from litertlm._engine.lib import SILENT, Library, lib
from litertlm.errors import OptionError

__all__ = ["Captured", "forward_log", "listening"]

ERRORS = 4
"""Log level at which the engine prints errors only; the reasons of failed loads need it."""

_LEVELS = {logging.DEBUG: 0, logging.INFO: 2, logging.WARNING: 3, logging.ERROR: ERRORS}
# absl's prefix ("E0000 00:00:1700000000.000001  123 file.cc:42] "), TFLite's ("INFO: "), and the place that
# LiteRT puts after the latter ("[file.cc:42] ").
_ABSL = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] ")
_TFLITE = re.compile(r"(?:VERBOSE|INFO|WARNING|ERROR): ")
_PLACE = re.compile(r"\[\S+:\d+\] ")
_ENGINE_LINE = re.compile(f"^(?:{_ABSL.pattern}|{_TFLITE.pattern})")
_SEVERITY = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}

# Tells the pump that nothing more will come.
_END = b"\x00litertlm: end of the engine's log\x00\n"

# Descriptor 2 and the log level belong to the process, and so do these: the lock is held while either changes
# hands, the level is what the engine prints when nothing special goes on.
_redirecting = threading.Lock()
_usual_level = SILENT


@dataclass
class Captured:
    """What was printed inside a ``with listening(...)`` block; set when the block ends."""

    text: str = ""

    @property
    def reason(self) -> str:
        """The last error line, without its prefix; "" when there is none."""
        for line in reversed(self.text.splitlines()):
            match = _ENGINE_LINE.match(line)
            if match and line.startswith(("E", "F", "ERROR")):
                return line[match.end() :].strip()
        return ""


@contextmanager
def listening(library: Library) -> Iterator[Captured]:
    """Let the engine print its errors, and keep them from the terminal.

    Only for the short time of a load that has failed or is on a GPU, whose drivers print as they like, to
    standard output as well: whatever other threads print meanwhile is captured with it.
    """
    captured = Captured()
    with _redirecting, tempfile.TemporaryFile() as file, ExitStack() as restore:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            if stream is not None:
                stream.flush()
            try:
                terminal = os.dup(number)
            except OSError:  # a process without it has nothing to protect
                continue
            os.dup2(file.fileno(), number)
            restore.callback(os.close, terminal)
            restore.callback(os.dup2, terminal, number)
        lib.ltlm_library_set_log_level(library.pointer, ERRORS)
        try:
            yield captured
        finally:
            lib.ltlm_library_set_log_level(library.pointer, _usual_level)
            restore.close()
            file.seek(0)
            captured.text = file.read().decode("utf-8", errors="replace")


@contextmanager
def forward_log(library: Library, level: int) -> Iterator[None]:
    """Hand the engine's log to the logger ``litertlm.engine`` for the length of a ``with`` block.

    A thread reads descriptor 2 through a pipe meanwhile; lines that are not the engine's still reach the
    terminal.

    Args:
        library: The engine library.
        level: ``logging.DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.

    Raises:
        OptionError: Another level, or the log is forwarded already.
    """
    if level not in _LEVELS:
        raise OptionError(f"There is no engine log of level {level}", hint="Use logging.INFO, for example.")
    reader, writer = _pipe()
    terminal = os.dup(2)
    pump = threading.Thread(
        target=_pump,
        args=(reader, terminal, logging.getLogger("litertlm.engine")),
        name="litertlm-engine-log",
        daemon=True,
    )
    try:
        _redirect(library, writer, _LEVELS[level])
        pump.start()
        try:
            yield
        finally:
            _redirect(library, terminal, SILENT)
            # Closing the pipe would not do: a child process may have inherited its other end.
            os.write(writer, _END)
            pump.join()
    finally:
        for descriptor in (reader, writer, terminal):
            os.close(descriptor)


def _redirect(library: Library, descriptor: int, level: int) -> None:
    """Point descriptor 2 elsewhere, and set the usual level."""
    global _usual_level
    with _redirecting:
        if level != SILENT and _usual_level != SILENT:
            raise OptionError("The engine's log is being forwarded already")
        _usual_level = level
        sys.stderr and sys.stderr.flush()
        # While the engine speaks, descriptor 2 is not the terminal.
        if level == SILENT:
            lib.ltlm_library_set_log_level(library.pointer, level)
            os.dup2(descriptor, 2)
        else:
            os.dup2(descriptor, 2)
            lib.ltlm_library_set_log_level(library.pointer, level)


def _pipe() -> tuple[int, int]:
    """A pipe that keeps what is written at once apart from the rest, if there is such a one."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    return os.pipe()


def _pump(reader: int, terminal: int, logger: logging.Logger) -> None:
    sorter = _Sorter(terminal, logger)
    end = b""
    while not end:
        written, end, _ = os.read(reader, 1 << 16).partition(_END)
        for piece in written.splitlines(keepends=True):
            sorter.take(piece)
    sorter.finish()


class _Sorter:
    """Tells what the engine writes from what others write.

    The engine writes some lines in three pieces: severity, words, line end. Its other threads, and those of
    the program, may write between them.
    """

    def __init__(self, terminal: int, logger: logging.Logger) -> None:
        self._terminal, self._logger = terminal, logger
        # Severities whose words are still to come, and words whose line end is.
        self._severities: deque[int] = deque()
        self._words: deque[tuple[int, str]] = deque()

    def take(self, piece: bytes) -> None:
        """A line, or a part of one."""
        text = piece.decode("utf-8", errors="replace")
        severity = _TFLITE.match(text)
        if severity:
            self._severities.append(_SEVERITY.get(text[0], logging.INFO))
            text = text[severity.end() :]
        whole = _ABSL.match(text)
        if whole:
            self._log(_SEVERITY[text[0]], text[whole.end() :])
        elif text == "\n" and self._words:
            self._log(*self._words.popleft())
        elif severity or _PLACE.match(text) or (self._severities and not text.endswith("\n")):
            self._take_words(text)
        else:
            os.write(self._terminal, piece)

    def finish(self) -> None:
        """Nothing comes any more."""
        while self._words:
            self._log(*self._words.popleft())

    def _take_words(self, text: str) -> None:
        if not text:
            return
        words = (self._severities.popleft() if self._severities else logging.INFO, text)
        if text.endswith("\n"):
            self._log(*words)
        else:
            self._words.append(words)

    def _log(self, level: int, words: str) -> None:
        self._logger.log(level, "%s", words.rstrip())
