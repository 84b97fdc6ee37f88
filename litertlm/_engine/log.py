"""What the engine prints.

The engine writes its log to file descriptor 2 and knows one log level for the whole process. litertlm keeps it
silent, listens when a load has failed, and hands the log to :mod:`logging` for those who ask.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from litertlm._engine.lib import SILENT, Library, lib

__all__ = ["Captured", "forward_log", "listening"]

ERRORS = 4
"""Log level at which the engine prints errors only; the reasons of failed loads need it."""

_LEVELS = {logging.DEBUG: 0, logging.INFO: 2, logging.WARNING: 3, logging.ERROR: ERRORS}
# absl's prefix ("E0000 00:00:1700000000.000001  123 file.cc:42] "), its greeting, and TFLite's ("INFO: ").
_ENGINE_LINE = re.compile(r"^(?:[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] |(?:VERBOSE|INFO|WARNING|ERROR): )")
_SEVERITY = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}

# Descriptor 2 and the log level belong to the process, so does this lock.
_redirecting = threading.Lock()


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

    Only for the short time after a load has failed: whatever other threads print to descriptor 2 meanwhile is
    held back and printed when the block ends.
    """
    captured = Captured()
    with _redirecting, tempfile.TemporaryFile() as file:
        try:
            terminal = os.dup(2)
        except OSError:  # a process without stderr has nothing to protect
            yield captured
            return
        sys.stderr and sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        lib.ltlm_library_set_log_level(library.pointer, ERRORS)
        try:
            yield captured
        finally:
            lib.ltlm_library_set_log_level(library.pointer, SILENT)
            sys.stderr and sys.stderr.flush()
            os.dup2(terminal, 2)
            file.seek(0)
            captured.text = file.read().decode("utf-8", errors="replace")
            os.close(terminal)


@contextmanager
def forward_log(level: int = logging.INFO, *, library: Library) -> Iterator[None]:
    """Hand the engine's log to the logger ``litertlm.engine`` for the length of a ``with`` block.

    A thread reads descriptor 2 through a pipe meanwhile; lines that are not the engine's still reach the
    terminal.

    Args:
        level: ``logging.DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        library: The engine library.
    """
    logger = logging.getLogger("litertlm.engine")
    with _redirecting:
        reader, writer = os.pipe()
        terminal = os.dup(2)
        os.dup2(writer, 2)
        os.close(writer)
        pump = threading.Thread(
            target=_pump, args=(reader, terminal, logger), name="litertlm-engine-log", daemon=True
        )
        pump.start()
        lib.ltlm_library_set_log_level(library.pointer, _LEVELS.get(level, 2))
        try:
            yield
        finally:
            lib.ltlm_library_set_log_level(library.pointer, SILENT)
            sys.stderr and sys.stderr.flush()
            os.dup2(terminal, 2)  # closes the pipe's last writer, which ends the pump
            pump.join()
            os.close(terminal)


def _pump(reader: int, terminal: int, logger: logging.Logger) -> None:
    with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = _ENGINE_LINE.match(line)
            if match:
                logger.log(_SEVERITY.get(line[0], logging.INFO), "%s", line[match.end() :].rstrip())
            else:
                os.write(terminal, line.encode("utf-8", errors="replace"))
