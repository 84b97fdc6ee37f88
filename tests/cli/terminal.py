"""A terminal that a program runs in, and that waits for what the program shows."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time

PATIENCE = 60.0
"""Seconds after which something is not going to happen."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>()][A-Z0-9]?)")
# Makes the pseudo-terminal the child's controlling one, so that Ctrl-C reaches it as a signal.
_SHIM = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A program in a pseudo-terminal of 80 columns and 24 lines.

    Attributes:
        raw: All that it has written.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        import fcntl
        import pty
        import termios

        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        settings = {"TERM": "xterm-256color", **environment}
        inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SHIM, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**inherited, **settings},
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """All that it has written, without escape sequences."""
        return _ESCAPES.sub("", self.raw)

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._end, keys.encode())

    def expect(self, pattern: str) -> str:
        """Wait until what was written since the last call matches; returns it up to there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            new = self.text[self._seen :]
            if found := re.search(pattern, new):
                self._seen += found.end()
                return new[: found.end()]
            if not self._read(deadline):
                raise AssertionError(f"{pattern!r} did not come; at the end there was {new[-500:]!r}")

    def wait(self) -> int:
        """Wait for the program's end; returns its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def _read(self, deadline: float) -> bool:
        """Read what has come; False when nothing more comes."""
        if not select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._end, 1 << 16)
        except OSError:  # Linux's way of saying that the other end is closed
            return False
        if b"\x1b[6n" in data:  # "where is the cursor?"
            self.send("\x1b[1;1R")
        self.raw += data.decode("utf-8", errors="replace")
        return bool(data)
