"""What a handler can learn about the call that it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from litertlm.messages import ToolCall
from litertlm.tools.cancel import CancelToken

__all__ = ["ToolContext"]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Given to a handler that declares a parameter of this type; the model does not see that parameter.

    Attributes:
        call: The call being answered, its arguments cleaned but not converted.
        cancel_token: Cancelled when the result is not wanted any more: the turn or its batch of calls was
            given up, or the tool ran into its timeout.
        chat: The chat that runs the turn; its own turn is in progress, so it cannot be sent to.
        deadline: Until when a result is of use, in seconds of ``time.monotonic()``; None: no limit.
    """

    call: ToolCall
    cancel_token: CancelToken
    chat: Any = None
    deadline: float | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds left, at least 0; None: no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
