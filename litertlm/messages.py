"""What is said in a conversation: frozen values without behaviour.

A :class:`Message` is a role and parts. Replies, chunks, usage and timings are what a turn gives back. Nothing
here knows an engine, a file format or a template.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy.typing
    import PIL.Image

__all__ = [
    "Audio",
    "AudioSource",
    "Chunk",
    "FinishReason",
    "Hop",
    "Image",
    "ImageSource",
    "Message",
    "Part",
    "Reply",
    "Role",
    "Score",
    "Text",
    "Timings",
    "TokenLogprob",
    "ToolCall",
    "ToolResult",
    "Usage",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]
"""Why a reply ended: the model stopped, a token limit or the context's end cut it, or it calls tools."""

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PIL.Image.Image "
    "| numpy.typing.NDArray[Any]"
)
AudioSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | numpy.typing.NDArray[Any]"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture for the model to look at.

    Args:
        source: A path, the bytes of an image file, an open binary file, a ``data:`` URL, a PIL image, or an
            array of shape (height, width), (height, width, 3) or (height, width, 4): ``uint8`` 0..255, or
            floating point 0..1. Anything Pillow reads is accepted. It is read when the message is sent;
            ``chat.history`` holds the encoded bytes from then on.
    """

    source: ImageSource


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording for the model to listen to.

    Args:
        source: A path, the bytes of an audio file, an open binary file, a ``data:`` URL, or an array of
            samples of shape (frames,) or (frames, channels): floating point -1..1 or integers of full range.
            Anything soundfile reads is accepted.
        sample_rate: Frames per second; required for an array, read from the file otherwise.
    """

    source: AudioSource
    sample_rate: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool to be run.

    Attributes:
        id: Unique within the conversation; a :class:`ToolResult` refers to it.
        name: The tool's name, as the model wrote it; not checked against the declared tools.
        arguments: What the model passes, by parameter name.
        error: Why what the model wrote cannot be read as a call, for the model; then there are no arguments,
            and the name is a guess. None when it can.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back: any JSON value."""

    call_id: str
    name: str
    result: Any


Part: TypeAlias = Text | Image | Audio | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, concatenated."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls among the parts."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the engine, for one turn or added up over several.

    Attributes:
        prompt_tokens: Prefilled in the turn: the new message, and what the template adds around it.
        completion_tokens: Decoded in the turn, the stop token included.
        reused_tokens: Already in the KV cache before the turn, so not computed again.
        image_tokens: The part of ``prompt_tokens`` that images took.
        audio_tokens: The part of ``prompt_tokens`` that audio took.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reused_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens computed: prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reused_tokens + other.reused_tokens,
            self.image_tokens + other.image_tokens,
            self.audio_tokens + other.audio_tokens,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a turn took, in seconds on the monotonic clock.

    Attributes:
        queued: Waited for other chats of the same client.
        time_to_first_token: From being submitted to the first text; includes the prefill.
        total: From being submitted to the end.
        prefill_tokens_per_second: As the engine measured it, 0.0 when it did not.
        decode_tokens_per_second: Likewise.
    """

    queued: float = 0.0
    time_to_first_token: float = 0.0
    total: float = 0.0
    prefill_tokens_per_second: float = 0.0
    decode_tokens_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, and how likely the model found it, before penalties, biases, temperature and form.

    Attributes:
        id: The token's.
        bytes: What it stands for. One token may be a part of a character, and the first one of a reply may
            begin with a blank that ``reply.text`` does not have.
        logprob: Natural logarithm of its probability, <= 0.
        top_logprobs: The likeliest tokens at its place, likeliest first, as many as were asked for.
    """

    id: int
    bytes: bytes
    logprob: float
    top_logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        """What it stands for, as text; U+FFFD where it is a part of a character."""
        return self.bytes.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Hop:
    """One generation of a turn: the whole turn, unless tools ran in it.

    Attributes:
        text: What the model said.
        thinking: What it thought.
        tool_calls: What it asked for.
        finish_reason: Why it ended.
        usage: Tokens of this generation.
        timings: Seconds and rates of this generation.
        logprobs: Its tokens, if ``logprobs`` was asked for: all that were generated, those of thinking, of
            tool calls and of control markers among them, to the one that ended it or that completed a stop
            text.
    """

    text: str
    thinking: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprob, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answered in one turn. ``str(reply)`` is its text.

    Attributes:
        text: The answer, without thinking.
        thinking: The thinking channel's text, "" when there was none.
        tool_calls: Tools that the model wants to be run, in its order.
        finish_reason: Why it ended.
        usage: Tokens of this turn, all hops together.
        timings: Seconds and rates of this turn; its rates are those of the last hop.
        hops: The generations of this turn, in order; more than one if tools ran.
        logprobs: The tokens of the last generation, if ``logprobs`` was asked for; see :class:`Hop`, and
            ``hops`` for those before it.
        parsed: The answer as an object, if ``response_format`` asked for one; else None.
        raw: What the engine delivered, for debugging: one JSON document a line, in the engine's own form.
    """

    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    timings: Timings = Timings()
    hops: tuple[Hop, ...] = field(default=(), repr=False)
    logprobs: tuple[TokenLogprob, ...] = field(default=(), repr=False)
    parsed: Any = None
    raw: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is after another one.

    Attributes:
        total: Natural-log probability of the whole text.
        tokens: The same for each of its tokens.
    """

    total: float
    tokens: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed reply; ``text`` may be empty.

    Attributes:
        text: Text of the answer.
        thinking: Text of the thinking channel.
        tool_calls: Complete tool calls.
        logprobs: The tokens that have come with it, if ``logprobs`` was asked for; those that show nothing
            come with the next piece, or in one of their own at the end.
        reply: The whole reply; set on the last chunk only.
    """

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    reply: Reply | None = None

    @property
    def final(self) -> bool:
        """Whether this is the last chunk."""
        return self.reply is not None

    def __str__(self) -> str:
        return self.text
