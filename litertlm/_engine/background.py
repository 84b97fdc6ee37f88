"""What an engine has to wait for, without anybody waiting.

An engine may not stop at once: a prefill runs to its end whatever is asked. Whoever leaves a turn hands the
rest of it over here and goes on.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Background"]


class Background:
    """One thread, started when there is something to do and gone when there is not, that does it in order.

    Threads: any; also from a destructor, in the middle of whatever else.
    """

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        # Reentrant: a destructor may submit while this thread is inside a method here.
        self._changed = threading.Condition(threading.RLock())
        self._worker: int | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Do ``job`` soon, after those submitted before; what it raises is logged."""
        with self._changed:
            self._jobs.append(job)
            if self._worker is not None:
                return
            self._worker = 0
            try:
                # Not threading.Thread, which takes a lock that is not reentrant: a destructor may run while
                # its thread holds it.
                _thread.start_new_thread(self._work, ())
                return
            except RuntimeError:  # no more threads, or the interpreter is going
                self._worker = None
            except BaseException:
                self._worker = None
                raise
        self._work()

    def wait(self) -> None:
        """Until nothing is left to do; from a job itself: return at once."""
        with self._changed:
            while self._worker not in (None, _thread.get_ident()):
                self._changed.wait(0.05)

    def _work(self) -> None:
        with self._changed:
            self._worker = _thread.get_ident()
        while True:
            with self._changed:
                if not self._jobs:
                    self._worker = None
                    self._changed.notify_all()
                    return
                job = self._jobs.popleft()
            _run(job)
            # What it refers to may be the last reference to something that is freed on this thread.
            del job


def _run(job: Callable[[], None]) -> None:
    """Whatever it raises is logged, as there is nobody to raise it to."""
    try:
        job()
    except Exception:
        logging.getLogger("litertlm").exception("What an engine was left to do in the background failed")
