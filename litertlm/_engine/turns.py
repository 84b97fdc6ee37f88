"""Fair turns on an engine that does one thing at a time.

The engine runs whole generations one after another, and while one runs almost every other call on any of its
conversations blocks inside native code, where nothing can interrupt it. So callers queue here instead, first
come, first served, and reach the engine only when it is idle.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Holder", "TurnQueue"]

# How often the first in line looks whether a generation that nobody takes from is over. Only a waiting chat
# pays for it.
POLL_SECONDS = 0.01


class Holder(Protocol):
    """Whoever holds the engine."""

    def settle_if_over(self) -> bool:
        """Settle the accounts if the engine has finished with it; whether it has. Any thread."""
        ...


class TurnQueue:
    """A first-come-first-served lock whose holder can be relieved.

    A turn holds the engine from its start until the engine is done with it, not until its reader has read it:
    whoever waits at the head of the queue asks the holder whether it is over and takes its place, so that a
    slow reader does not keep the other chats waiting.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._line: deque[object] = deque()
        self._holder: Holder | None = None

    def enter(self, holder: Holder, timeout: float | None = None) -> float:
        """Wait for the engine and hold it for ``holder``.

        Args:
            holder: Passed to :meth:`leave` later.
            timeout: Seconds; None waits without limit.

        Returns:
            Seconds waited.

        Raises:
            TimeoutError: The time is over.
        """
        started = time.monotonic()
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                while self._line[0] is not ticket or not self._is_free():
                    left = None if timeout is None else timeout - (time.monotonic() - started)
                    if left is not None and left <= 0:
                        raise TimeoutError
                    wait = POLL_SECONDS if self._line[0] is ticket else None
                    self._changed.wait(min(filter(None, (wait, left)), default=None))
                self._holder = holder
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
        return time.monotonic() - started

    def try_enter(self, holder: Holder) -> bool:
        """Hold the engine for ``holder`` if it is idle and nobody waits; never waits itself.

        May be called from a destructor, so also in the middle of any method here.
        """
        with self._changed:
            if self._line or self._holder is not None:
                return False
            self._holder = holder
            return True

    def leave(self, holder: Holder) -> None:
        """Let the next one in; nothing if ``holder`` no longer holds the engine."""
        with self._changed:
            if self._holder is holder:
                self._holder = None
                self._changed.notify_all()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Hold the engine for a short call."""
        holder = _ShortCall()
        self.enter(holder)
        try:
            yield
        finally:
            self.leave(holder)

    def _is_free(self) -> bool:
        return self._holder is None or self._holder.settle_if_over()


class _ShortCall:
    """Holds the engine for the length of a ``with`` block."""

    def settle_if_over(self) -> bool:
        return False
