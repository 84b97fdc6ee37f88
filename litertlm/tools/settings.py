"""How the tool calls of a turn are run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from litertlm.errors import OptionError
from litertlm.options import MAX_INT32, check_integer, check_number

__all__ = ["ToolSettings"]


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """Settings of one turn.

    Args:
        max_concurrent: Handlers in flight at most; 1 or less: one after the other, in the model's order. With
            more than 1, handlers must be thread-safe.
        timeout: Seconds for one call of a tool that has no timeout of its own, > 0; None: no limit.
        max_result_tokens: A longer result is cut, and the model is told so, >= 1; None: no limit.
        max_repeats: The so-manieth call of a tool with equal arguments is not run any more, >= 2; None: every
            call is run.

    Raises:
        OptionError: A value is out of range or of the wrong type.
    """

    max_concurrent: int = 1
    timeout: float | None = None
    max_result_tokens: int | None = None
    max_repeats: int | None = 3

    def __post_init__(self) -> None:
        check_integer("max_concurrent", self.max_concurrent, -MAX_INT32, MAX_INT32)
        check_number("the tools' timeout", self.timeout, 0.0, math.inf)
        if self.timeout == 0:
            raise OptionError("the tools' timeout must be more than 0 seconds")
        check_integer("max_result_tokens", self.max_result_tokens, 1, MAX_INT32)
        check_integer("max_repeats", self.max_repeats, 2, MAX_INT32)
