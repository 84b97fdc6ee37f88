"""When a turn has to stop."""

from __future__ import annotations

import time

from litertlm.errors import DeadlineExceeded
from litertlm.tools import CancelToken

__all__ = ["Limits"]

# Longest wait in one piece, so that a cancellation and a deadline are noticed even while the engine prefills.
SLICE_SECONDS = 0.025


class Limits:
    """A turn's deadline and the token that stops it.

    Args:
        token: Cancelled by whoever wants the turn to end.
        timeout: Seconds from now; None: no limit.

    Threads: any.
    """

    def __init__(self, token: CancelToken, timeout: float | None) -> None:
        self.token = token
        self.timeout = timeout
        self.started = time.monotonic()
        self.deadline = None if timeout is None else self.started + timeout

    @property
    def left(self) -> float | None:
        """Seconds until the deadline, not below 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def slice(self) -> float:
        """Seconds to wait in one piece."""
        left = self.left
        return SLICE_SECONDS if left is None else min(left, SLICE_SECONDS)

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if it is time to stop."""
        self.token.raise_if_cancelled()
        if self.left == 0:
            raise self.too_late()

    def remaining(self) -> float | None:
        """Seconds until the deadline, more than 0; None without one. Raises as :meth:`check`."""
        self.token.raise_if_cancelled()
        left = self.left
        if left == 0:
            raise self.too_late()
        return left

    def too_late(self) -> DeadlineExceeded:
        """The error of a turn that ran out of time."""
        return DeadlineExceeded(self.timeout or 0.0)
