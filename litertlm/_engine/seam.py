"""What a good engine can do, whichever one it is.

An engine opens conversations. A conversation holds a KV cache: it starts turns, marks its state, rewinds to a
mark, forks, counts and renders. A turn is taken from in batches until it has ended. An adapter makes up for
what its engine lacks. Nothing here mentions JSON, templates in text form or native handles.

Threads: an engine may be used from any thread, a conversation and its turn from one thread at a time, except
``Turn.cancel``, which any thread may call at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from litertlm.errors import LiteRTLMError
from litertlm.messages import Message, Score, Timings, TokenLogprob, ToolCall
from litertlm.options import Sampler, TurnOptions

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "Conversation",
    "Delta",
    "Engine",
    "EngineInfo",
    "Mark",
    "Preface",
    "ToolSpec",
    "Turn",
    "TurnEnd",
]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really runs.

    Attributes:
        engine: ``"native"`` or ``"litert"``.
        library: The engine library's file.
        library_version: Its version, "" when unknown.
        backend: Where the text model runs.
        vision_backend: Where images are encoded; None: nowhere.
        audio_backend: Where sound is encoded; None: nowhere.
        threads: CPU threads of the text model.
        max_context: Context length in tokens, None when the model does not say.
        cache_dir: Where weight caches are kept, None when nowhere.
        keeps_cache: Whether rewinding and forking keep the KV cache; otherwise the next turn prefills what
            was said again.
        options: What it honours of what :attr:`litertlm.options.TurnOptions.wanted` may name; the chat
            refuses the others.
        media_engine: Which engine takes conversations that hold images or recordings, when it is another one.
        reason: Why it is not our own engine, None when it is.
    """

    engine: str
    library: str
    library_version: str
    backend: str
    vision_backend: str | None
    audio_backend: str | None
    threads: int
    max_context: int | None
    cache_dir: str | None
    keeps_cache: bool
    options: frozenset[str]
    media_engine: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it; ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Preface:
    """What a conversation starts from.

    Attributes:
        messages: Earlier messages, their media already encoded; a system message first, if any.
        tools: Declared to the model.
        sampler: Unset fields are the model's.
        thinking: Whether the model may think first; None: the template's default.
        chat_template: Jinja text that replaces the model's own template; None: the model's.
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    sampler: Sampler = Sampler()
    thinking: bool | None = None
    chat_template: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of what the model says, and the tokens that have come with it, if they were asked for."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn ended.

    Attributes:
        error: Why it failed, None when it did not. A failed turn leaves the conversation unusable until it is
            rewound to a mark from before the turn.
        cut: Whether a token limit or the end of the context stopped it.
        prompt_tokens: Prefilled.
        completion_tokens: Decoded, the stop token included.
        reused_tokens: In the KV cache before the turn.
        image_tokens: The part of ``prompt_tokens`` that images took.
        audio_tokens: The part of ``prompt_tokens`` that sound took.
        token_count: In the KV cache afterwards.
        timings: Seconds and rates.
        raw: What the engine delivered, one JSON document a line.
    """

    error: LiteRTLMError | None
    cut: bool
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int
    image_tokens: int
    audio_tokens: int
    token_count: int
    timings: Timings
    raw: str


class Turn(Protocol):
    """One turn: prepared, in progress, ended."""

    def start(self) -> None:
        """Begin, after waiting for other conversations' turns.

        Raises:
            DeadlineExceeded: The turn's timeout passed in the meantime.
            LiteRTLMError: It did not begin, and nothing changed.
        """
        ...

    def take(self, timeout: float | None) -> Sequence[Delta]:
        """What has come since the last take.

        Waits up to ``timeout`` seconds (None: without limit) for something to come, and returns an empty
        sequence if nothing did. After the last delta, ``end`` is set.
        """
        ...

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""
        ...

    def cancel(self) -> None:
        """Ask it to stop; it still has to be taken from until it ends. Any thread, any time."""
        ...

    def close(self) -> None:
        """Leave it: stop it if it runs. Idempotent.

        Returns within milliseconds; an engine that cannot stop at once goes on in the background, and
        whatever next needs the engine waits for that.
        """
        ...


class Mark(Protocol):
    """A state of a conversation to come back to."""

    def close(self) -> None:
        """Forget it. Idempotent."""
        ...


class Conversation(Protocol):
    """A KV cache and what was said in it."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said, the preface's messages first."""
        ...

    @property
    def token_count(self) -> int:
        """Tokens of the conversation so far; 0 before the first turn, as the preface is prefilled with it."""
        ...

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill; exact for text, an upper bound with media."""
        ...

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill, media as their placeholders."""
        ...

    def prepare(self, message: Message, options: TurnOptions) -> Turn:
        """A turn that has not begun; the message's media are already encoded.

        Raises:
            LiteRTLMError: The message cannot be sent.
        """
        ...

    def mark(self) -> Mark:
        """Remember this state; costs nothing until it is gone back to."""
        ...

    def rewind(self, mark: Mark) -> None:
        """Go back to a state marked on this conversation, whatever has happened to it since.

        A mark may be gone back to any number of times. Returns within milliseconds.
        """
        ...

    def fork(self) -> Conversation:
        """An independent conversation in the same state."""
        ...

    def prefill(self) -> None:
        """Begin to compute what was said so far, in the background; the next turn finds what is done by then.

        An engine that cannot do that does nothing.
        """
        ...

    def save_kv(self) -> Buffer | None:
        """What is in the KV cache, for :meth:`restore_kv`; None: nothing, or it cannot be had."""
        ...

    def restore_kv(self, state: Buffer) -> bool:
        """Have in the KV cache what another conversation had that said the same; whether it fits.

        If it does not, nothing changes, and the next turn prefills everything.
        """
        ...

    def close(self) -> None:
        """Free the KV cache. Idempotent."""
        ...


class Engine(Protocol):
    """A loaded model."""

    @property
    def info(self) -> EngineInfo:
        """What really runs."""
        ...

    def open(self, preface: Preface) -> Conversation:
        """A new conversation."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, no start token added."""
        ...

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        ...

    def complete(self, prompt: str, options: TurnOptions) -> Turn:
        """Continue a text, without a chat template and apart from every conversation; not begun yet.

        Honours at least ``max_output_tokens``, ``timeout``, ``sampler`` and ``stop``.

        Raises:
            OptionError: Something else is asked for that it does not honour here.
        """
        ...

    def score(self, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
        """How likely ``text`` is to follow ``prompt``, without a chat template.

        Args:
            prompt: What stands before it.
            text: What is scored.
            check: Called now and then in the waiting thread; what it raises ends the waiting.

        Raises:
            LiteRTLMError: The engine cannot score, or one of them is empty.
        """
        ...

    def close(self) -> None:
        """Free the model, conversations first. Idempotent."""
        ...
