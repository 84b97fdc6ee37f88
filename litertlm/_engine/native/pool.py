"""The threads that compute, shared by all models of the process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, lib, new_error

__all__ = ["leave_pool", "shared_pool"]

# By number of threads and process: a forked child has none of its parent's threads.
_pools: weakref.WeakValueDictionary[tuple[int, int], Handle] = weakref.WeakValueDictionary()
# Reentrant: a signal handler may close a client at any moment.
_lock = threading.RLock()


@contextmanager
def shared_pool(threads: int) -> Iterator[Handle]:
    """The pool of this many threads; for the length of the block, in which it gets a child, nobody ends it.

    Raises:
        EngineError: The system grants no more threads.
    """
    with _lock:
        pool = _pools.get((os.getpid(), threads))
        if pool is None or pool.closed:
            pool = Handle("thread pool", "ltlm_pool", _dispose, warns=False)
            error = new_error()
            check(lib.ltlm_pool_create(threads, pool.cell, error), error)
            _pools[os.getpid(), threads] = pool
        yield pool


def leave_pool(pool: Handle) -> None:
    """End its threads, unless there are children that are not closed, or not freed yet."""
    if pool.closed:  # also in a forked child, where somebody may have held the lock
        return
    with _lock:
        if not pool.has_children:
            pool.close()


def _dispose(cell: Any) -> None:
    lib.ltlm_pool_dispose(cell)
