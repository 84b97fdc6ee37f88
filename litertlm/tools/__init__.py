"""Tools that a model may ask for: declared, checked, run."""

from litertlm.tools.approval import Allow, Approval, Deny, Pause, ToolsPaused
from litertlm.tools.cancel import CancelToken
from litertlm.tools.context import ToolContext
from litertlm.tools.declare import FunctionTool, OnError, Tool, tool
from litertlm.tools.dispatch import ToolRun
from litertlm.tools.events import (
    ToolBatchEnded,
    ToolBatchStarted,
    ToolEnded,
    ToolEvent,
    ToolFailed,
    ToolStarted,
)
from litertlm.tools.plan import Approve
from litertlm.tools.settings import ToolSettings
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
