"""Tools that a model may ask for: declared, checked, run.

What only chats with tools need is imported when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from litertlm.tools.approval import Allow, Approval, Deny, Pause, ToolsPaused
from litertlm.tools.cancel import CancelToken
from litertlm.tools.events import (
    ToolBatchEnded,
    ToolBatchStarted,
    ToolEnded,
    ToolEvent,
    ToolFailed,
    ToolStarted,
)
from litertlm.tools.settings import ToolSettings

if TYPE_CHECKING:
    from litertlm.tools.context import ToolContext
    from litertlm.tools.declare import FunctionTool, OnError, Tool, tool
    from litertlm.tools.dispatch import ToolRun
    from litertlm.tools.plan import Approve
    from litertlm.tools.toolset import ToolLike, Toolset

__all__ = [
    "Allow",
    "Approval",
    "Approve",
    "CancelToken",
    "Deny",
    "FunctionTool",
    "OnError",
    "Pause",
    "Tool",
    "ToolBatchEnded",
    "ToolBatchStarted",
    "ToolContext",
    "ToolEnded",
    "ToolEvent",
    "ToolFailed",
    "ToolLike",
    "ToolRun",
    "ToolSettings",
    "ToolStarted",
    "ToolsPaused",
    "Toolset",
    "tool",
]

_LAZY = {
    "Approve": "plan",
    "FunctionTool": "declare",
    "OnError": "declare",
    "Tool": "declare",
    "ToolContext": "context",
    "ToolLike": "toolset",
    "ToolRun": "dispatch",
    "Toolset": "toolset",
    "tool": "declare",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(f"litertlm.tools.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'litertlm.tools' has no attribute {name!r}")
