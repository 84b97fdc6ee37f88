"""Fair turns on an engine that does one thing at a time.

The engine runs whole generations one after another, and while one runs almost every other call on any of its
conversations blocks inside native code, where nothing can interrupt it. So callers queue here instead, first
come, first served, and reach the engine only when it is idle.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Holder", "TurnQueue"]

# How often a waiting chat looks whether a generation that nobody takes from is over.
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

    It refers to holders and waiters weakly: one that is gone, however it went, holds nothing and waits for
    nothing, so an interruption at the worst moment cannot lock the engine.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._line: deque[weakref.ref[object]] = deque()
        self._holder: Callable[[], Holder | None] = _nobody

    def enter(
        self, holder: Holder, timeout: float | None = None, *, check: Callable[[], None] | None = None
    ) -> float:
        """Wait for the engine and hold it for ``holder``.

        Args:
            holder: Passed to :meth:`leave` later.
            timeout: Seconds; None waits without limit.
            check: Called now and then while it waits, under the queue's lock; what it raises ends that.

        Returns:
            Seconds waited.

        Raises:
            TimeoutError: The time is over.
        """
        started = time.monotonic()
        ticket = _Ticket()
        with self._changed:
            self._line.append(weakref.ref(ticket))
            while self._first() is not ticket or not self._is_free():
                if check is not None:
                    try:
                        check()
                    except BaseException:
                        self._withdraw(ticket)
                        raise
                left = None if timeout is None else timeout - (time.monotonic() - started)
                if left is not None and left <= 0:
                    self._withdraw(ticket)
                    raise TimeoutError
                # Also those behind look now and then: the one before them may be gone without a word.
                self._changed.wait(POLL_SECONDS if left is None else min(POLL_SECONDS, left))
            self._holder = weakref.ref(holder)
            self._withdraw(ticket)
        return time.monotonic() - started

    def leave(self, holder: Holder) -> None:
        """Let the next one in; nothing if ``holder`` does not hold the engine (any more)."""
        with self._changed:
            if self._holder() is holder:
                self._holder = _nobody
                self._changed.notify_all()

    def is_held_by(self, holder: Holder) -> bool:
        """Whether ``holder`` holds the engine now."""
        return self._holder() is holder

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Hold the engine for a short call."""
        holder = _ShortCall()
        try:
            self.enter(holder)
            yield
        finally:
            self.leave(holder)

    @contextmanager
    def if_idle(self) -> Iterator[bool]:
        """Hold the engine if it is idle and nobody waits; whether it is held. Never waits itself.

        May be called from a destructor, so also in the middle of any method here.
        """
        holder = _ShortCall()
        try:
            with self._changed:
                free = self._first() is None and self._holder() is None
                if free:
                    self._holder = weakref.ref(holder)
            yield free
        finally:
            self.leave(holder)

    def _first(self) -> object | None:
        """The first in line that is still there."""
        while self._line:
            ticket = self._line[0]()
            if ticket is not None:
                return ticket
            self._line.popleft()
        return None

    def _withdraw(self, ticket: object) -> None:
        self._line = deque(waiting for waiting in self._line if waiting() not in (ticket, None))
        self._changed.notify_all()

    def _is_free(self) -> bool:
        holder = self._holder()
        return holder is None or holder.settle_if_over()


def _nobody() -> None:
    """What a reference to no holder gives."""
    return


class _Ticket:
    """A place in line."""


class _ShortCall:
    """Holds the engine for the length of a ``with`` block."""

    def settle_if_over(self) -> bool:
        """It says so itself."""
        return False
