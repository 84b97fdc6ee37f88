"""Calls as models make them, and what is done with them."""

from __future__ import annotations

from typing import Any

from litertlm import Tool, ToolCall
from litertlm.tools import ToolRun, Toolset, ToolSettings

NO_ARGUMENTS = {"type": "object", "properties": {}}


def call(name: str, call_id: str = "", **arguments: Any) -> ToolCall:
    """One call; its id is its name unless it says otherwise."""
    return ToolCall(call_id or name, name, arguments)


def calls(*names: str) -> list[ToolCall]:
    """Calls without arguments."""
    return [call(name) for name in names]


def handler(name: str, function: Any, **settings: Any) -> Tool:
    """A tool that takes nothing."""
    return Tool(name, "", NO_ARGUMENTS, function, **settings)


def turn(*tools: Any, **settings: Any) -> ToolRun:
    """A turn with these tools; settings of ToolSettings and of ToolRun alike."""
    of_run = {"token", "chat", "deadline", "turn_timeout", "approve", "count_tokens", "on_event", "loop"}
    rest = {key: settings.pop(key) for key in list(settings) if key in of_run}
    return ToolRun(Toolset(tools), ToolSettings(**settings), **rest)
