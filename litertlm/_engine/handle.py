"""Native objects with an owner: parents outlive children, and nothing is called on a dead one.

Every native object is held by a :class:`Handle`. Rules that it keeps:

* ``close`` is explicit, idempotent and closes children first; forgetting it earns a ``ResourceWarning`` and
  the object is closed when it is collected.
* A call on a closed handle raises ``ClosedError`` and never reaches native code; a close waits for calls in
  progress in other threads. From the moment a close begins, no call and no child is accepted.
* After a fork the child process owns none of the parent's objects (the engine's threads did not survive it):
  calls raise, close only forgets.
* At interpreter exit everything still open is closed, newest first, since the engine's threads must not
  deliver into a process that is being torn down.
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

from litertlm._engine.lib import ffi
from litertlm.errors import ClosedError

__all__ = ["Handle"]

# Whether the interpreter goes on; None at its very end, when modules are emptied.
_alive = True
_open: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()


class Handle:
    """Owns one native object.

    It is made first, empty, and the native call that creates the object puts it straight into :attr:`cell`;
    disposing of it empties the cell in the same native call. So whatever interrupts the interpreter between
    two instructions, an object is never lost and never freed twice.

    Args:
        what: What it is, for messages: ``"client"``, ``"chat"``.
        kind: Its C type, for example ``"ltlm_engine"``.
        dispose: Frees what is in the cell it is given, and empties it; called when no other call is in
            progress.
        parent: The handle that must outlive this one; referred to for as long as this one lives.
        warns: Whether forgetting to close it earns a warning; not when something else answers for it.

    Raises:
        ClosedError: The parent is closed, or being closed.

    Threads: any. Calls through :meth:`using` on one handle are serialised.
    """

    _counter = iter(range(1, 2**62))

    def __init__(
        self,
        what: str,
        kind: str,
        dispose: Callable[[Any], None],
        parent: Handle | None = None,
        *,
        warns: bool = True,
    ) -> None:
        self.what = what
        self.cell = ffi.new(f"{kind} **")
        self._dispose = dispose
        self._warns = warns
        self._process = os.getpid()
        # Reentrant: closing may happen in a destructor that runs while this thread is inside using().
        self._lock = threading.RLock()
        self._disposing = threading.RLock()
        self._closing = False
        self._children: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        # Keeps the parent's native object alive: the engine dereferences it from this one.
        self._parent = parent
        self._number = next(Handle._counter)
        if parent is not None:
            with parent._lock:
                _ = parent.pointer  # raises if it is closed
                parent._children[self._number] = self
        _open[self._number] = self

    @property
    def closed(self) -> bool:
        """Whether it is closed, or belongs to the process that this one was forked from."""
        return self._closing or self._process != os.getpid()

    @property
    def holds(self) -> bool:
        """Whether there is a native object in it, perhaps one that is being freed."""
        return bool(self.cell[0] != ffi.NULL)

    @property
    def has_children(self) -> bool:
        """Whether it is the parent of something that is open, or not freed yet."""
        return any(child.holds or not child.closed for child in self._children.values())

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
        if self._closing or not self.holds:
            raise ClosedError(f"The {self.what} is closed")
        return self.cell[0]

    def close(self) -> None:
        """Close children, newest first, then free the native object. Idempotent."""
        if self._process != os.getpid():
            return
        with self._lock:
            self._closing = True
        for child in sorted(self._children.values(), key=lambda child: -child._number):
            child.close()
        # Whoever closes it at the same time waits here; the parent may only go when this is gone. Not under
        # the other lock, as disposing may take locks of its own.
        with self._disposing:
            if self.holds:
                self._dispose(self.cell)

    def __del__(self) -> None:
        # A failed __init__ leaves no _number.
        if not _alive or getattr(self, "_number", None) is None or self._process != os.getpid():
            return
        if self._warns and not self._closing and self.holds:
            warnings.warn(f"unclosed {self.what}", ResourceWarning, source=self, stacklevel=2)
        self.close()


@atexit.register
def _close_all() -> None:
    global _alive
    for handle in sorted(_open.values(), key=lambda handle: -handle._number):
        handle.close()
    _alive = False
