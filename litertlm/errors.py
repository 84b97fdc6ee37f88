"""Everything litertlm raises on purpose.

::

    LiteRTLMError
    ├── ModelFileError (ValueError)          the model file is damaged, or not a model
    │   ├── ModelLayoutError                 the file is whole, but cut in a way that no engine here runs
    │   └── ModelNotFoundError (FileNotFoundError)
    ├── ChatFileError (ValueError)           the chat file is damaged, newer, or cannot be written
    │   └── ChatFileNotFoundError (FileNotFoundError)
    ├── EngineLibraryError (ImportError)     the engine library is missing or does not fit
    ├── BackendUnavailable (RuntimeError)    this machine or library cannot run that backend
    ├── ModalityUnavailable (ValueError)     the model, or this client, takes no images or no audio
    ├── OptionError (ValueError)             a setting is out of range or unknown
    ├── MessageError (ValueError)            a message cannot be sent as it is
    │   └── MediaError                       an image or a recording cannot be used
    ├── TemplateError (ValueError)           the chat template cannot render the conversation
    ├── ContextOverflow (ValueError)         the conversation does not fit the context
    ├── Cancelled (RuntimeError)             the turn was cancelled
    ├── DeadlineExceeded (TimeoutError)      the turn ran into its timeout
    ├── ToolHopsExceeded (RuntimeError)      the model went on asking for tools
    ├── ReplyFormatError (ValueError)        the reply is not in the form that was asked for
    ├── ToolError (RuntimeError)             a tool failed, and its policy is to raise
    │   └── ToolTimeout (TimeoutError)       a tool ran into its timeout
    ├── ChatBusy (RuntimeError)              another turn is running on this chat
    ├── TooManyChats (RuntimeError)          the client has as many chats open as it may have
    ├── ClosedError (RuntimeError)           used after close
    └── EngineError (RuntimeError)           the engine failed for a reason of its own
        └── ToolCallSyntaxError              the model wrote a tool call that cannot be read

Every message says what is wrong; where something can be done about it, ``hint`` says what, and is part of
``str(error)``. Each class also inherits the builtin that fits, so ``except FileNotFoundError`` works.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litertlm.messages import Reply

__all__ = [
    "BackendUnavailable",
    "Cancelled",
    "ChatBusy",
    "ChatFileError",
    "ChatFileNotFoundError",
    "ClosedError",
    "ContextOverflow",
    "DeadlineExceeded",
    "EngineError",
    "EngineLibraryError",
    "LiteRTLMError",
    "MediaError",
    "MessageError",
    "ModalityUnavailable",
    "ModelFileError",
    "ModelLayoutError",
    "ModelNotFoundError",
    "OptionError",
    "ReplyFormatError",
    "TemplateError",
    "TooManyChats",
    "ToolCallSyntaxError",
    "ToolError",
    "ToolHopsExceeded",
    "ToolTimeout",
]


class LiteRTLMError(Exception):
    """Base of every error that litertlm raises on purpose.

    Args:
        message: What is wrong, without a full stop at the end.
        hint: What the user can do about it, a full sentence, or "" when there is nothing to say.

    Attributes:
        message: As given.
        hint: As given.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ModelFileError(LiteRTLMError, ValueError):
    """The model file is damaged, not a ``.litertlm`` container, or of a newer format.

    Attributes:
        path: The file, "" when it has no name.
        place: Where in the file, for example ``"header: section table, entry 3"``; "" when unknown.
    """

    def __init__(
        self, message: str, *, path: str | os.PathLike[str] = "", place: str = "", hint: str = ""
    ) -> None:
        self.path = os.fspath(path)
        self.place = place
        self.problem = message
        where = ": ".join(part for part in (self.path, place, message) if part)
        super().__init__(where, hint=hint)


class ModelLayoutError(ModelFileError):
    """The model file is whole, but its graphs are cut in a way that no engine here runs."""


class ModelNotFoundError(ModelFileError, FileNotFoundError):
    """There is no model file of that name."""


class ChatFileError(LiteRTLMError, ValueError):
    """A chat file is damaged, of a newer format or no chat file, or a chat cannot be written to one.

    Attributes:
        path: The file, "" when there is none.
        place: Where in the chat, for example ``"history[3].parts[0].text"``; "" when it is the whole file.
        problem: What is wrong there; a sentence that goes on from the place: ``"is not a text"``.
    """

    def __init__(
        self, problem: str, *, path: str | os.PathLike[str] = "", place: str = "", hint: str = ""
    ) -> None:
        self.path = os.fspath(path)
        self.place = place
        self.problem = problem
        sentence = f"{place} {problem}" if place else problem
        super().__init__(f"{self.path}: {sentence}" if self.path else sentence, hint=hint)


class ChatFileNotFoundError(ChatFileError, FileNotFoundError):
    """There is no chat file of that name."""


class EngineLibraryError(LiteRTLMError, ImportError):
    """The engine's shared library is missing, or is not a version that fits."""


class BackendUnavailable(LiteRTLMError, RuntimeError):
    """The backend asked for does not exist, or cannot run on this machine.

    Attributes:
        backend: The backend asked for.
    """

    def __init__(self, message: str, *, backend: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.backend = backend


class ModalityUnavailable(LiteRTLMError, ValueError):
    """An image or a recording was given where none can be taken.

    Attributes:
        modality: ``"image"`` or ``"audio"``.
    """

    def __init__(self, message: str, *, modality: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.modality = modality


class OptionError(LiteRTLMError, ValueError):
    """A setting is unknown, of the wrong type, or out of range."""


class MessageError(LiteRTLMError, ValueError):
    """A message cannot be sent as it is: empty, not UTF-8, or with a NUL character."""


class MediaError(MessageError):
    """An image or a recording cannot be read, or is beyond a limit."""


class TemplateError(LiteRTLMError, ValueError):
    """The chat template failed on this conversation; ``str()`` carries the engine's words.

    Attributes:
        line: Of the template, counted from 1; None when the engine did not say.
    """

    def __init__(self, message: str, *, line: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line


class ContextOverflow(LiteRTLMError, ValueError):
    """The conversation and the new message do not fit the model's context.

    Attributes:
        used: Tokens in the KV cache before the message.
        needed: Tokens that the message takes, 0 when the engine did not say.
        limit: Context length in tokens.
    """

    def __init__(self, used: int, needed: int, limit: int, *, hint: str = "") -> None:
        super().__init__(
            f"The conversation does not fit the context: {used} tokens used, {needed} more needed, "
            f"{limit} in all",
            hint=hint or "Start a new chat, send less, or use a model with a longer context.",
        )
        self.used = used
        self.needed = needed
        self.limit = limit

    def __reduce__(self) -> tuple[type[ContextOverflow], tuple[int, int, int]]:
        return (type(self), (self.used, self.needed, self.limit))


class Cancelled(LiteRTLMError, RuntimeError):
    """The turn was cancelled; the chat is as it was before it."""


class DeadlineExceeded(LiteRTLMError, TimeoutError):
    """The turn ran into its timeout; the chat is as it was before it.

    Attributes:
        timeout: The limit in seconds.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(f"The turn did not finish within {timeout:g} s")
        self.timeout = timeout

    def __reduce__(self) -> tuple[type[DeadlineExceeded], tuple[float]]:
        return (type(self), (self.timeout,))


class ToolHopsExceeded(LiteRTLMError, RuntimeError):
    """The model asked for tools again when no more rounds of tools were left; the turn is undone.

    Attributes:
        cap: The most rounds allowed.
        hops: The rounds that ran.
        last_reply: What the model said last, with the calls that were not made.
    """

    def __init__(self, cap: int, hops: int, last_reply: Reply) -> None:
        super().__init__(
            f"tool hops exceeded (cap {cap})",
            hint="Raise max_tool_hops, or set answer_at_hop_limit=True for an answer without more tools.",
        )
        self.cap = cap
        self.hops = hops
        self.last_reply = last_reply

    def __reduce__(self) -> tuple[type[ToolHopsExceeded], tuple[int, int, Reply]]:
        return (type(self), (self.cap, self.hops, self.last_reply))


class ReplyFormatError(LiteRTLMError, ValueError):
    """The reply is not in the form that ``response_format`` asked for; the turn is undone.

    Attributes:
        reply: What the model said.
    """

    def __init__(self, reply: Reply, why: str) -> None:
        cut = reply.finish_reason == "length"
        super().__init__(
            f"The reply does not have the form asked for: {why}",
            hint="It was cut: raise max_output_tokens." if cut else "",
        )
        self.reply = reply
        self._why = why

    def __reduce__(self) -> tuple[type[ReplyFormatError], tuple[Reply, str]]:
        return (type(self), (self.reply, self._why))


class ToolError(LiteRTLMError, RuntimeError):
    """A tool's handler failed, or gave back what cannot be told to the model; also its ``__cause__``.

    Attributes:
        tool: The tool's name.
        call: The :class:`~litertlm.messages.ToolCall` that was being answered.
        cause: What the handler raised.
    """

    def __init__(self, tool: str, call: Any, cause: BaseException) -> None:
        super().__init__(f"Tool {tool!r} failed: {error_text(cause)}")
        self.tool = tool
        self.call = call
        self.cause = cause
        self.__cause__ = cause

    def __reduce__(self) -> tuple[type[ToolError], tuple[Any, ...]]:
        return (type(self), (self.tool, self.call, _portable(self.cause)))


class ToolTimeout(ToolError, TimeoutError):
    """A tool ran into its timeout; its handler may still be running in the background.

    Attributes:
        timeout: The limit in seconds.
    """

    def __init__(self, tool: str, call: Any, timeout: float) -> None:
        super().__init__(tool, call, TimeoutError(f"no result within {timeout:g} s"))
        self.timeout = timeout

    def __reduce__(self) -> tuple[type[ToolTimeout], tuple[Any, ...]]:
        return (type(self), (self.tool, self.call, self.timeout))


class ChatBusy(LiteRTLMError, RuntimeError):
    """A second turn was started while one runs on the same chat."""


class TooManyChats(LiteRTLMError, RuntimeError):
    """A chat was to be opened, and the client has as many open as ``max_chats`` allows; they go on.

    Attributes:
        limit: How many may be open, and are.
    """

    def __init__(self, limit: int) -> None:
        chats = "chat" if limit == 1 else "chats"
        super().__init__(
            f"The client has {limit} {chats} open, which is the most that max_chats allows",
            hint="Close one (chat.close(), or a `with` block), or open the client with a larger max_chats.",
        )
        self.limit = limit

    def __reduce__(self) -> tuple[type[TooManyChats], tuple[int]]:
        return (type(self), (self.limit,))


class ClosedError(LiteRTLMError, RuntimeError):
    """A client, chat or stream was used after it was closed."""


class EngineError(LiteRTLMError, RuntimeError):
    """The engine failed, and no other class says it better.

    Attributes:
        code: The engine's own status code (absl numbering), 0 when it gave none.
        log: What the engine logged meanwhile, "" when nothing was captured.
    """

    def __init__(self, message: str, *, code: int = 0, log: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.log = log


def error_text(error: BaseException) -> str:
    """``Type: message``, or the type alone; never fails, whatever the error's ``__str__`` does."""
    try:
        text = str(error)
    except Exception:
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _portable(error: BaseException) -> BaseException:
    """The error itself if it survives pickling, else one that says the same."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(error_text(error))
    return error


class ToolCallSyntaxError(EngineError):
    """The model wrote a tool call that the engine cannot read; the turn is undone.

    Attributes:
        text: What the model wrote, as far as the engine repeats it.
    """

    def __init__(self, message: str, text: str, *, code: int = 0, hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint or "Ask again, or describe the tool more simply.")
        self.text = text

    def __reduce__(self) -> tuple[type[ToolCallSyntaxError], tuple[str, str], dict[str, Any]]:
        return (type(self), (self.message, self.text), self.__dict__)
