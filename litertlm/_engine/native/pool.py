"""The threads that compute, shared by all models of the process."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, lib, new_error

__all__ = ["shared_pool"]

# By number of threads and process: a forked child has none of its parent's threads.
_pools: weakref.WeakValueDictionary[tuple[int, int], Handle] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_pool(threads: int) -> Handle:
    """The pool of this many threads. Its threads end when nothing refers to it any more.

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
        return pool


def _dispose(cell: Any) -> None:
    lib.ltlm_pool_dispose(cell)
