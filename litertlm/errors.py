"""Everything litertlm raises on purpose.

::

    LiteRTLMError
    ├── ModelFileError (ValueError)          the model file is damaged, or not a model
    │   └── ModelNotFoundError (FileNotFoundError)
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
    ├── ChatBusy (RuntimeError)              another turn is running on this chat
    ├── ClosedError (RuntimeError)           used after close
    └── EngineError (RuntimeError)           the engine failed for a reason of its own
        └── ToolCallSyntaxError              the model wrote a tool call that cannot be read

Every message says what is wrong; where something can be done about it, ``hint`` says what, and is part of
``str(error)``. Each class also inherits the builtin that fits, so ``except FileNotFoundError`` works.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "BackendUnavailable",
    "Cancelled",
    "ChatBusy",
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
    "ModelNotFoundError",
    "OptionError",
    "TemplateError",
    "ToolCallSyntaxError",
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


class ModelNotFoundError(ModelFileError, FileNotFoundError):
    """There is no model file of that name."""


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
    """The chat template failed on this conversation; ``str()`` carries the engine's words."""


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


class ChatBusy(LiteRTLMError, RuntimeError):
    """A second turn was started while one runs on the same chat."""


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
