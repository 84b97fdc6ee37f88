"""Chat with local models that see, hear and use tools; nothing leaves the device.

>>> from litertlm import Client
>>> with Client() as client:
...     print(client.chat().send("Hello!"))
"""

from litertlm.chat import Chat, Context, Stream
from litertlm.client import Client, ClientInfo
from litertlm.engine_log import engine_log
from litertlm.errors import (
    BackendUnavailable,
    Cancelled,
    ChatBusy,
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
    ModelNotFoundError,
    OptionError,
    TemplateError,
    ToolCallSyntaxError,
)
from litertlm.messages import (
    Audio,
    Chunk,
    FinishReason,
    Image,
    Message,
    Part,
    Reply,
    Role,
    Text,
    Timings,
    ToolCall,
    ToolResult,
    Usage,
)
from litertlm.modelfile import ModelDescription, describe
from litertlm.options import Sampler
from litertlm.tools import Tool

__all__ = [
    "Audio",
    "BackendUnavailable",
    "Cancelled",
    "Chat",
    "ChatBusy",
    "Chunk",
    "Client",
    "ClientInfo",
    "ClosedError",
    "Context",
    "ContextOverflow",
    "DeadlineExceeded",
    "EngineError",
    "EngineLibraryError",
    "FinishReason",
    "Image",
    "LiteRTLMError",
    "MediaError",
    "Message",
    "MessageError",
    "ModalityUnavailable",
    "ModelDescription",
    "ModelFileError",
    "ModelNotFoundError",
    "OptionError",
    "Part",
    "Reply",
    "Role",
    "Sampler",
    "Stream",
    "TemplateError",
    "Text",
    "Timings",
    "Tool",
    "ToolCall",
    "ToolCallSyntaxError",
    "ToolResult",
    "Usage",
    "describe",
    "engine_log",
]

__version__ = "0.1.0"
