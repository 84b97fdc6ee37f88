"""What a terminal can show, what it must never be sent, and a line that says what is waited for."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

__all__ = [
    "Paint",
    "Spinner",
    "TextWriter",
    "clean",
    "quiet_keyboard",
    "safe",
    "size_text",
    "speaks_unicode",
    "width",
]

# Everything that a terminal may take for a command: C0 without tab and line feed, DEL, and C1. What a model
# says must not move the cursor, rename the window or answer for the keyboard.
_CONTROLS: dict[int, str | None] = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROLS |= {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): None}

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"


def safe(text: str) -> str:
    """``text`` without the control characters that a terminal would obey; tabs and line ends stay."""
    return text.translate(_CONTROLS)


def clean(text: str, stream: TextIO) -> str:
    """``text`` as it may go to ``stream``: made safe for a terminal, unchanged for a file or a pipe."""
    return safe(text) if stream.isatty() else text


def speaks_unicode(stream: TextIO) -> bool:
    """Whether a stream's encoding has block and check mark characters."""
    try:
        "▀█▁✓✗…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def width(limit: int = 100) -> int:
    """Columns of the terminal, at most ``limit``; 80 when there is no terminal."""
    return max(20, min(limit, shutil.get_terminal_size().columns))


def size_text(count: int) -> str:
    """A number of bytes for people: ``"6.7 MB"``."""
    amount = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """Keep typed keys, ``^C`` above all, out of what is being drawn; they wait for the next prompt.

    Does nothing where stdin is no terminal, or the system knows no such switch.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


class Paint:
    """Colours for a stream, if it is a terminal that wants them (see https://no-color.org)."""

    def __init__(self, stream: TextIO) -> None:
        dull = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        if os.name == "nt" and not os.environ.keys() & {"WT_SESSION", "TERM", "ConEmuANSI"}:
            dull = True
        self.enabled = stream.isatty() and not dull

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled else text

    def bold(self, text: str) -> str:
        """Bold."""
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        """Dimmed."""
        return self._wrap("2", text)

    def red(self, text: str) -> str:
        """For what failed."""
        return self._wrap("31", text)

    def green(self, text: str) -> str:
        """For what is well."""
        return self._wrap("32", text)

    def yellow(self, text: str) -> str:
        """For what deserves a look."""
        return self._wrap("33", text)

    def cyan(self, text: str) -> str:
        """For bars and names."""
        return self._wrap("36", text)


class TextWriter:
    """Writes a streamed text at once, made safe for a terminal, and ends it with exactly one line end."""

    def __init__(self, stream: TextIO, dim: bool = False) -> None:
        self._stream = stream
        self._paint = Paint(stream)
        self._dim = dim
        self._held = ""
        self.line_open = False

    def write(self, text: str) -> None:
        """Write a piece. Line ends wait for what follows them, which may be nothing."""
        text = self._held + clean(text, self._stream)
        ready = text.rstrip("\n")
        self._held = text[len(ready) :]
        if ready:
            self.line_open = True  # first, since Ctrl-C may come between any two of these lines
            self._stream.write(self._paint.dim(ready) if self._dim else ready)
            self._stream.flush()

    def finish(self) -> None:
        """End the line, if one is open."""
        self._held = ""
        if self.line_open:
            self.line_open = False
            self._stream.write("\n")
            self._stream.flush()


class Spinner:
    """Says on a terminal's last line what is being waited for, once that takes a while; then vanishes.

    A context manager; on anything but a terminal it does nothing. Its thread ends before ``stop`` returns.

    Args:
        text: What is waited for.
        stream: Where; None: stderr.
        delay: Seconds after which it appears.
    """

    def __init__(self, text: str, stream: TextIO | None = None, delay: float = 0.5) -> None:
        self._text = text
        self._stream = sys.stderr if stream is None else stream
        self._delay = delay
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Wait for something else from now on."""
        self._text = text

    def stop(self) -> None:
        """Vanish. Idempotent."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _turn(self) -> None:
        modern = speaks_unicode(self._stream)
        frames = _FRAMES if modern else _ASCII_FRAMES
        pause, count, shown = self._delay, 0, 0
        while not self._over.wait(pause):
            text = self._text if modern else self._text.replace("…", "...")
            line = f"{frames[count % len(frames)]} {text}"[: width() - 1]
            self._stream.write(f"\r{line:<{shown}}")
            self._stream.flush()
            pause, count, shown = 0.1, count + 1, max(shown, len(line))
        if shown:
            self._stream.write(f"\r{'':<{shown}}\r")
            self._stream.flush()

    def __enter__(self) -> Spinner:
        if self._stream.isatty():
            self._thread = threading.Thread(target=self._turn, name="litertlm-spinner", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
