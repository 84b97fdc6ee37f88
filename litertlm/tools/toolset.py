"""The tools of one chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

from litertlm.errors import OptionError
from litertlm.messages import ToolCall
from litertlm.tools.arguments import BadArgumentsError, clean_arguments
from litertlm.tools.declare import FunctionTool, Tool

__all__ = ["ToolLike", "Toolset"]

ToolLike: TypeAlias = Tool | Callable[..., Any]
"""A tool; a plain function becomes one."""


class Toolset:
    """Tools by name, in the order in which they were given; immutable.

    Args:
        tools: Tools; a plain function becomes one.

    Raises:
        OptionError: Two share a name, or one of them is no tool.
    """

    def __init__(self, tools: Iterable[ToolLike] = ()) -> None:
        by_name: dict[str, Tool] = {}
        for tool in tools:
            declared = _declared(tool)
            if declared.name in by_name:
                raise OptionError(
                    f"duplicate tool name {declared.name!r}", hint="Give one of them another name."
                )
            by_name[declared.name] = declared
        self._tools = by_name

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names."""
        return tuple(self._tools)

    def get(self, name: str) -> Tool | None:
        """The tool of that name."""
        return self._tools.get(name)

    def can_run(self, calls: Sequence[ToolCall]) -> bool:
        """Whether every call names a tool with a handler, or cannot be read; False for no calls."""
        named = [call.name for call in calls if call.error is None]
        if not named:
            # What cannot be read is told to the model, unless the application answers all calls itself.
            return bool(calls) and any(tool.handler is not None for tool in self._tools.values())
        tools = [self._tools.get(name) for name in named]
        return all(tool is not None and tool.handler is not None for tool in tools)

    def clean(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """The calls with their arguments in plain form, for an application that runs them itself.

        The model's quote marks are stripped, objects passed as JSON text are parsed where the tool wants one.
        What cannot be read as an object, or belongs to no tool, is left as it is.
        """
        cleaned = []
        for call in calls:
            tool = self._tools.get(call.name)
            if tool is not None:
                with suppress(BadArgumentsError):
                    call = replace(call, arguments=clean_arguments(call.arguments, tool.parameters))
            cleaned.append(call)
        return tuple(cleaned)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __repr__(self) -> str:
        return f"<Toolset: {', '.join(self._tools) or 'empty'}>"


def _declared(tool: object) -> Tool:
    if isinstance(tool, Tool):
        return tool
    if callable(tool):
        return FunctionTool(tool)
    raise OptionError(
        f"{tool!r} is not a tool",
        hint="Pass Tool(...), a function decorated with @tool, or a plain function.",
    )
