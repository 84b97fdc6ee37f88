"""Native objects with an owner: parents outlive children, and nothing is called on a dead one.

Every native object is held by a :class:`Handle`. Rules that it keeps:

* ``close`` is explicit, idempotent and closes children first; forgetting it earns a ``ResourceWarning`` and the
  object is closed when it is collected.
* A call on a closed handle raises ``ClosedError`` and never reaches native code; a close waits for calls in
  progress in other threads.
* After a fork the child process owns none of the parent's objects (the engine's threads did not survive it):
  calls raise, close only forgets.
* At interpreter exit everything still open is closed, newest first, since the engine's threads must not deliver
  into a process that is being torn down.
"""

from __future__ import annotations

import atexit
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from litertlm.errors import ClosedError

__all__ = ["Handle"]

_open: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()


class Handle:
    """Owns one native object.

    Args:
        what: What it is, for messages: ``"client"``, ``"chat"``.
        pointer: The native object.
        delete: Frees it; called once, with the pointer, when no other call is in progress.
        parent: The handle that must outlive this one; referred to for as long as this one lives.

    Threads: any. Calls through :meth:`using` on one handle are serialised.
    """

    _counter = iter(range(1, 2**62))

    def __init__(
        self, what: str, pointer: Any, delete: Callable[[Any], None], parent: Handle | None = None
    ) -> None:
        self.what = what
        self._pointer = pointer
        self._delete = delete
        self._process = os.getpid()
        # Reentrant: closing may happen in a destructor that runs while this thread is inside using().
        self._lock = threading.RLock()
        self._children: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        # Keeps the parent's native object alive: the engine dereferences it from this one.
        self._parent = parent
        self._number = next(Handle._counter)
        if parent is not None:
            parent._children[self._number] = self
        _open[self._number] = self

    @property
    def closed(self) -> bool:
        """Whether it is closed, or belongs to the process that this one was forked from."""
        return self._pointer is None or self._process != os.getpid()

    @contextmanager
    def using(self) -> Iterator[Any]:
        """The native pointer, for the length of one call.

        Raises:
            ClosedError: It is closed, or was opened before a fork.
        """
        with self._lock:
            yield self.pointer

    @property
    def pointer(self) -> Any:
        """The native pointer; only for calls that may run beside others on this handle.

        Raises:
            ClosedError: As for :meth:`using`.
        """
        if self._process != os.getpid():
            raise ClosedError(
                f"The {self.what} was opened in another process, before a fork",
                hint="Open a new client in this process.",
            )
        if self._pointer is None:
            raise ClosedError(f"The {self.what} is closed")
        return self._pointer

    def close(self) -> None:
        """Close children, newest first, then free the native object."""
        if self._process != os.getpid():
            self._pointer = None
            return
        for child in sorted(self._children.values(), key=lambda child: -child._number):
            child.close()
        with self._lock:
            pointer, self._pointer = self._pointer, None
        # Outside the lock, for no call can begin any more, and the deleter may take locks of its own.
        if pointer is not None:
            _open.pop(self._number, None)
            self._delete(pointer)

    def __del__(self) -> None:
        # A failed __init__ leaves no _pointer.
        if getattr(self, "_pointer", None) is not None and self._process == os.getpid():
            warnings.warn(f"unclosed {self.what}", ResourceWarning, source=self, stacklevel=2)
            self.close()


@atexit.register
def _close_all() -> None:
    for handle in sorted(_open.values(), key=lambda handle: -handle._number):
        handle.close()
