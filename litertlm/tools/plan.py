"""What will be done about each call of a batch; settled for all of them before any is run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from litertlm.messages import ToolCall
from litertlm.tools.approval import Approval, Decision, Deny, Pause, ToolsPaused
from litertlm.tools.arguments import BadArgumentsError, clean_arguments
from litertlm.tools.declare import Tool
from litertlm.tools.toolset import Toolset

__all__ = ["Approve", "Plan", "Repeats", "decide", "plan_calls"]

Approve: TypeAlias = Callable[[ToolCall, Tool], Approval | Awaitable[Approval]]

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done about a call.

    Attributes:
        index: Its place in the batch.
        call: The call, its arguments cleaned.
        key: What makes it equal to another call.
        tool: None: there is none of that name.
        arguments: What the handler is called with.
        refusal: Why it is not run, for the model; None: it is run.
        repeated: Whether it is not run because it was often enough.
    """

    index: int
    call: ToolCall
    key: Key
    tool: Tool | None = None
    arguments: Mapping[str, Any] | None = None
    refusal: str | None = None
    repeated: bool = False

    @property
    def runs(self) -> bool:
        """Whether a handler will be called."""
        return self.refusal is None and not self.repeated


class Repeats:
    """Which calls there were in a turn, and what they gave.

    Args:
        most: The so-manieth equal call is refused; None: none is.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._times: dict[Key, int] = {}
        self._results: dict[Key, Any] = {}

    def mark(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans, those marked that come once too often; counts nothing."""
        times = dict(self._times)
        marked = []
        for plan in plans:
            times[plan.key] = times.get(plan.key, 0) + 1
            often = self._most is not None and times[plan.key] >= self._most
            marked.append(replace(plan, repeated=True) if often else plan)
        return marked

    def count(self, plans: Sequence[Plan]) -> None:
        """These calls are being answered."""
        for plan in plans:
            self._times[plan.key] = self._times.get(plan.key, 0) + 1

    def remember(self, key: Key, result: Any) -> None:
        """What such a call gave."""
        self._results[key] = result

    def answer(self, plan: Plan) -> dict[str, Any]:
        """What the model is told instead of a result."""
        answer = {
            "error": f"{plan.call.name} has already been called with these arguments. "
            "Use what it returned, or do something else."
        }
        if plan.key in self._results:
            answer["returned"] = self._results[plan.key]
        return answer


def plan_calls(calls: Sequence[ToolCall], toolset: Toolset, repeats: Repeats) -> list[Plan]:
    """A plan for every call, in order; approval not yet asked for. Nothing that a model writes raises."""
    return repeats.mark([_plan(index, call, toolset) for index, call in enumerate(calls)])


def _plan(index: int, call: ToolCall, toolset: Toolset) -> Plan:
    if call.error is not None:
        refusal = f"This call cannot be read: {call.error}. Write it again."
        return Plan(index, call, (str(call.name), call.error), refusal=refusal)
    tool = toolset.get(call.name) if isinstance(call.name, str) else None
    if tool is None or tool.handler is None:
        key = (str(call.name), _canonical(call.arguments))
        if tool is not None:
            return Plan(index, call, key, tool, refusal=f"Tool {call.name!r} cannot be run here.")
        known = ", ".join(repr(name) for name in toolset.names) or "none"
        return Plan(index, call, key, refusal=f"There is no tool {call.name!r}. The tools are: {known}.")
    try:
        call = replace(call, arguments=clean_arguments(call.arguments, tool.parameters))
        key = (call.name, _canonical(call.arguments))
        return Plan(index, call, key, tool, arguments=tool.reader.read(call.arguments))
    except BadArgumentsError as error:
        refusal = f"{error} Call {call.name} again with corrected arguments."
        return Plan(index, call, (call.name, _canonical(call.arguments)), tool, refusal=refusal)


def decide(
    plans: Sequence[Plan],
    calls: tuple[ToolCall, ...],
    ask: Callable[[ToolCall, Tool], Decision] | None,
    decisions: Mapping[str, Decision],
) -> list[Plan]:
    """The plans after approval; every call that would run is asked about, unless it was decided before.

    Raises:
        ToolsPaused: One of them has to wait, so all do.
    """
    decided: dict[str, Decision] = {}
    pending: dict[str, Pause] = {}
    after = []
    for plan in plans:
        decision = decisions.get(plan.call.id)
        if plan.runs and decision is None and ask is not None and plan.tool is not None:
            decision = ask(plan.call, plan.tool)
        if plan.runs and decision is not None:
            if isinstance(decision, Pause):
                pending[plan.call.id] = decision
            else:
                decided[plan.call.id] = decision
            if isinstance(decision, Deny):
                plan = replace(plan, refusal=decision.message)
        after.append(plan)
    if pending:
        raise ToolsPaused(calls, pending, decided)
    return after


def _canonical(arguments: Any) -> str:
    """The same text for equal arguments, whatever their order; 3.0 is 3."""
    try:
        return json.dumps(_whole_numbers(arguments), sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        # Beyond JSON: such a call equals itself only.
        return f"#{id(arguments)}"


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _whole_numbers(inner) for key, inner in value.items()}
    return [_whole_numbers(inner) for inner in value] if isinstance(value, list | tuple) else value
