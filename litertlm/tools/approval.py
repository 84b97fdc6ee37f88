"""What an application answers when it is asked whether a tool may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from litertlm.errors import OptionError
from litertlm.messages import ToolCall

__all__ = ["Allow", "Approval", "Deny", "Pause", "ToolsPaused", "decision_from"]

DENIED = "This call was not allowed. Do not repeat it; go on without it."


@dataclass(frozen=True, slots=True)
class Allow:
    """Run it."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Do not run it; the model is told why.

    Args:
        message: What the model is told.
    """

    message: str = DENIED


@dataclass(frozen=True, slots=True)
class Pause:
    """Run nothing of this batch for now; the application decides later.

    Args:
        message: For the application; the model does not see it.
    """

    message: str = ""


Decision: TypeAlias = Allow | Deny | Pause

Approval: TypeAlias = Allow | Deny | Pause | bool
"""``True`` is :class:`Allow`, ``False`` is :class:`Deny`."""


class ToolsPaused(Exception):  # not an error, and never seen by the application
    """A batch of calls waits for a decision; none of them was run.

    Attributes:
        calls: All calls of the batch, in the model's order.
        pending: The calls that wait, by id, with what was said about each.
        decisions: What was decided about the others, by id: to be passed on when the batch is run again.
    """

    def __init__(
        self, calls: tuple[ToolCall, ...], pending: Mapping[str, Pause], decisions: Mapping[str, Decision]
    ) -> None:
        super().__init__(f"{len(pending)} of {len(calls)} tool calls wait for a decision")
        self.calls = calls
        self.pending = pending
        self.decisions = decisions


def decision_from(answer: object, *, said_by: str = "approve") -> Decision:
    """The decision that an approval callback's answer means.

    Raises:
        OptionError: It is none. In particular None, which a forgotten ``return`` gives, allows nothing.
    """
    if answer is True:
        return Allow()
    if answer is False:
        return Deny()
    if isinstance(answer, Allow | Deny | Pause):
        return answer
    raise OptionError(
        f"{said_by} answered {answer!r}", hint="Answer Allow(), Deny(message), Pause(message), True or False."
    )
