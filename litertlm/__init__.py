"""Chat with local models that see, hear and use tools; nothing leaves the device.

>>> from litertlm import Client
>>> with Client() as client:
...     print(client.chat().send("Hello!"))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from litertlm import events
from litertlm.chat import Chat, Context, OnOverflow, Overflow, SendOptions, Stream
from litertlm.client import Client
from litertlm.client_info import ClientInfo
from litertlm.engine_log import engine_log
from litertlm.errors import (
    BackendUnavailable,
    Cancelled,
    ChatBusy,
    ChatFileError,
    ChatFileNotFoundError,
    ClosedError,
    ContextOverflow,
    DeadlineExceeded,
    EngineError,
    EngineLibraryError,
    LiteRTLMError,
    MediaError,
    MessageError,
    ModalityUnavailable,
    ModelFileError,
    ModelLayoutError,
    ModelNotFoundError,
    OptionError,
    ReplyFormatError,
    TemplateError,
    ToolCallSyntaxError,
    ToolError,
    ToolHopsExceeded,
    ToolTimeout,
    TooManyChats,
)
from litertlm.messages import (
    Audio,
    Chunk,
    FinishReason,
    Hop,
    Image,
    Message,
    Part,
    Reply,
    Role,
    Score,
    Text,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolResult,
    Usage,
)
from litertlm.options import JsonSchema, Lark, Regex, Sampler
from litertlm.tools import Allow, Approval, CancelToken, Deny, Pause

if TYPE_CHECKING:
    from litertlm.async_client import AsyncClient
    from litertlm.chat.async_chat import AsyncChat, AsyncStream
    from litertlm.modelfile import ModelDescription, describe
    from litertlm.tools import Tool, ToolContext, tool

__all__ = [
    "Allow",
    "Approval",
    "AsyncChat",
    "AsyncClient",
    "AsyncStream",
    "Audio",
    "BackendUnavailable",
    "CancelToken",
    "Cancelled",
    "Chat",
    "ChatBusy",
    "ChatFileError",
    "ChatFileNotFoundError",
    "Chunk",
    "Client",
    "ClientInfo",
    "ClosedError",
    "Context",
    "ContextOverflow",
    "DeadlineExceeded",
    "Deny",
    "EngineError",
    "EngineLibraryError",
    "FinishReason",
    "Hop",
    "Image",
    "JsonSchema",
    "Lark",
    "LiteRTLMError",
    "MediaError",
    "Message",
    "MessageError",
    "ModalityUnavailable",
    "ModelDescription",
    "ModelFileError",
    "ModelLayoutError",
    "ModelNotFoundError",
    "OnOverflow",
    "OptionError",
    "Overflow",
    "Part",
    "Pause",
    "Regex",
    "Reply",
    "ReplyFormatError",
    "Role",
    "Sampler",
    "Score",
    "SendOptions",
    "Stream",
    "TemplateError",
    "Text",
    "Timings",
    "TokenLogprob",
    "TooManyChats",
    "Tool",
    "ToolCall",
    "ToolCallSyntaxError",
    "ToolContext",
    "ToolError",
    "ToolHopsExceeded",
    "ToolResult",
    "ToolTimeout",
    "Usage",
    "describe",
    "engine_log",
    "events",
    "tool",
]

__version__ = "0.1.0"

# What takes time to import is imported when it is used.
_LAZY = {
    "AsyncChat": "litertlm.chat.async_chat",
    "AsyncClient": "litertlm.async_client",
    "AsyncStream": "litertlm.chat.async_chat",
    "ModelDescription": "litertlm.modelfile",
    "Tool": "litertlm.tools",
    "ToolContext": "litertlm.tools",
    "describe": "litertlm.modelfile",
    "tool": "litertlm.tools",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'litertlm' has no attribute {name!r}")
