"""Asking running work to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from litertlm.errors import Cancelled

__all__ = ["CancelToken"]


class CancelToken:
    """Tells work in progress that nobody wants its result any more.

    A token is cancelled once and stays so. A handler of a tool that takes long looks at ``cancelled`` now and
    then, waits with :meth:`wait` instead of sleeping, or registers a callback.

    Args:
        parent: Cancelling it cancels this token too.

    Threads: any.
    """

    def __init__(self, parent: CancelToken | None = None) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason = ""
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._detach: Callable[[], None] | None = None
        if parent is not None:
            self._detach = parent.add_callback(lambda: self.cancel(parent.reason))

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._event.is_set()

    @property
    def reason(self) -> str:
        """Why, "" while it is not cancelled or when nobody said."""
        return self._reason

    def cancel(self, reason: str = "") -> None:
        """Ask whoever watches this token to stop. Idempotent; the first reason stays."""
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            with suppress(Exception):  # one watcher's failure is not the next one's
                callback()

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until it is cancelled, or for ``timeout`` seconds; whether it was cancelled."""
        return self._event.wait(timeout)

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled if it was cancelled."""
        if self._event.is_set():
            raise Cancelled(self._reason or "The turn was cancelled")

    def add_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` when it is cancelled, in the cancelling thread; at once if it was already.

        Exceptions of the callback are dropped.

        Returns:
            A function that takes the callback back.
        """
        key = object()
        with self._lock:
            late = self._event.is_set()
            if not late:
                self._callbacks[key] = callback
        if late:
            with suppress(Exception):
                callback()

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        return remove

    def detach(self) -> None:
        """Stop following the parent."""
        if self._detach is not None:
            self._detach()
            self._detach = None

    def __repr__(self) -> str:
        state = f"cancelled: {self._reason}" if self.cancelled else "not cancelled"
        return f"<CancelToken: {state}>"
