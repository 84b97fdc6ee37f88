"""An engine without a model, for tests of applications."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from litertlm._engine.model import ModelFacts
from litertlm._engine.seam import EngineInfo, Preface
from litertlm.errors import EngineError, MessageError, OptionError
from litertlm.messages import Score
from litertlm.options import FALLBACK_SAMPLER, OPTION_NAMES, TurnOptions, check_integer
from litertlm.testing.conversation import FakeConversation, check_options
from litertlm.testing.logprobs import logprob_of
from litertlm.testing.machine import Entry, Machine, Settings
from litertlm.testing.records import TurnRecord
from litertlm.testing.script import FakeReply, Gate, Place, Responder, ScriptError
from litertlm.testing.tokens import CONTROL_TOKENS, Tokenizer
from litertlm.testing.turn import FakeTurn, Prompt, Stage

__all__ = ["FakeEngine"]

# What a completion, which has no messages, can honour.
OF_COMPLETIONS = OPTION_NAMES - {
    "thinking", "thinking_budget", "visual_token_budget", "response_format", "Lark", "tools",
}  # fmt: skip


class FakeEngine:
    """An engine that says what a test tells it to: ``Client(engine=FakeEngine())``.

    Every turn, of a chat or a completion, takes the next enqueued reply when it begins. With nothing
    enqueued it says :func:`~litertlm.testing.default_reply` of the conversation. Everything else is as with a
    real engine: one turn at a time, tokens that add up, a context that fills, cancellation at any moment, and
    a conversation that is unusable after a failed turn until it is rewound.

    Args:
        strict: A turn for which nothing is enqueued fails with :class:`ScriptError`.
        default: Replies when nothing is enqueued, instead of the default reply.
        context: Context length in tokens, >= 16.
        modalities: What a message may hold; ``"text"`` and any of ``"image"`` and ``"audio"``.
        options: Names of the turn options that it supports beside ``timeout``; None: all. The others are
            refused.
        thinking: Whether the model has a thinking channel, for ``client.info``.
        image_tokens: Tokens that an image takes, >= 1.
        audio_tokens: Tokens that a recording takes, >= 1.
        real_time: Whether delays of replies really pass.
        patience: Seconds after which a turn that a gate holds, or that waits for such a turn, fails with
            :class:`ScriptError`, so that a mistake in a test is no hang.

    Raises:
        OptionError: A value is out of range.

    As a context manager it checks in the end that the script was used up and every chat closed, see
    :meth:`assert_all_used`, and closes. Threads: any.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        default: Responder | None = None,
        context: int = 2048,
        modalities: Iterable[str] = ("text", "image", "audio"),
        options: Iterable[str] | None = None,
        thinking: bool = True,
        image_tokens: int = 64,
        audio_tokens: int = 32,
        real_time: bool = False,
        patience: float = 30.0,
    ) -> None:
        check_integer("context", context, 16, 2**31 - 1)
        check_integer("image_tokens", image_tokens, 1, 2**31 - 1)
        check_integer("audio_tokens", audio_tokens, 1, 2**31 - 1)
        if not (math.isfinite(patience) and patience > 0):
            raise OptionError(f"patience must be more than 0 seconds, not {patience}")
        supported = OPTION_NAMES if options is None else frozenset({"timeout", *options})
        if not supported <= OPTION_NAMES:
            raise OptionError(
                f"There are no turn options {', '.join(sorted(supported - OPTION_NAMES))}",
                hint=f"There are {', '.join(sorted(OPTION_NAMES))}.",
            )
        taken = tuple(kind for kind in ("text", "image", "audio") if kind in {"text", *modalities})
        settings = Settings(
            strict=strict,
            context=context,
            image_tokens=image_tokens,
            audio_tokens=audio_tokens,
            modalities=taken,
            options=supported,
            real_time=real_time,
            patience=patience,
            default=default,
        )
        self._machine = Machine(settings, Tokenizer(CONTROL_TOKENS))
        self.info = EngineInfo(
            engine="fake",
            library="",
            library_version="",
            backend="cpu",
            vision_backend="cpu" if "image" in taken else None,
            audio_backend="cpu" if "audio" in taken else None,
            threads=1,
            max_context=context,
            cache_dir=None,
            keeps_cache=True,
            options=supported,
        )
        self.model = ModelFacts(
            path="fake",
            model_type="fake",
            modalities=taken,
            control_tokens=CONTROL_TOKENS,
            sampler=FALLBACK_SAMPLER,
            supports_thinking=thinking,
            supports_tools=True,
        )

    # The script.

    def enqueue(
        self,
        reply: str | FakeReply,
        *,
        thinking: str = "",
        chunk_tokens: int | None = 1,
        delay: float = 0.0,
        prefill: float = 0.0,
        hold: Place | None = None,
    ) -> Gate:
        """Say this in the next turn that has no reply yet.

        Args:
            reply: The text; or a :class:`FakeReply`, which says the rest itself.
            thinking: As in :class:`FakeReply`, like those that follow.
            chunk_tokens: Tokens in a chunk; None: all in one.
            delay: Seconds before every chunk.
            prefill: Seconds before the first chunk.
            hold: Where the turn stops until the gate that is returned is released.

        Returns:
            Its gate, open unless ``hold`` is given.

        Raises:
            OptionError: A value is out of range.
        """
        if isinstance(reply, str):
            reply = FakeReply(
                reply, thinking=thinking, chunk_tokens=chunk_tokens, delay=delay, prefill=prefill
            )
        return self._enqueue(reply, hold)

    def enqueue_tool_calls(
        self,
        calls: Iterable[tuple[str, Mapping[str, Any]]],
        text: str = "",
        *,
        thinking: str = "",
        hold: Place | None = None,
    ) -> Gate:
        """Call tools in the next turn that has no reply yet.

        Args:
            calls: Name and arguments of each; neither is checked against the declared tools, as no model
                does that.
            text: Said before.
            thinking: Thought before that.
            hold: As for :meth:`enqueue`.
        """
        return self._enqueue(FakeReply(text, thinking=thinking, tool_calls=tuple(calls)), hold)

    def enqueue_malformed_tool_call(self, raw: str = "<|tool_call>broken{", text: str = "") -> Gate:
        """Say ``text``, then fail as an engine does that cannot parse the model's tool call ``raw``."""
        error = EngineError(f"Failed to parse tool calls from code block: {raw}", code=3)
        return self._enqueue(FakeReply(text, error=error), None)

    def enqueue_error(
        self,
        error: BaseException,
        text: str = "",
        *,
        at: Place | Literal["start"] = "end",
        hold: Place | None = None,
    ) -> Gate:
        """Fail in the next turn that has no reply yet.

        Args:
            error: A :class:`~litertlm.LiteRTLMError` ends the turn, as an engine's failures do; anything
                else, for example ``KeyboardInterrupt()``, is raised where the reply is read.
            text: Said before, as far as it gets.
            at: ``"start"``: the turn does not begin at all; ``"prefill"``: before the first chunk;
                ``"decode"``: after the first; a number: after that many; ``"end"``: after all of ``text``.
            hold: As for :meth:`enqueue`.
        """
        return self._enqueue(FakeReply(text, error=error, error_at=at), hold)

    def enqueue_callable(self, responder: Responder, *, hold: Place | None = None) -> Gate:
        """Make the reply when the turn begins.

        Args:
            responder: Gets the whole conversation, the new message last, and the turn's options; returns a
                text or a :class:`FakeReply`. What it raises comes out of ``send``.
            hold: As for :meth:`enqueue`.
        """
        return self._enqueue(responder, hold)

    @contextmanager
    def hold(self, place: Place = "prefill") -> Iterator[Gate]:
        """Stop every turn that begins within the ``with`` block at one place, until its end.

        Gives the :class:`Gate`: wait there for turns to arrive, or release it earlier.
        """
        machine = self._machine
        gate = Gate(machine.changed, place)
        with machine.changed:
            machine.holds.append(gate)
        try:
            with gate:
                yield gate
        finally:
            with machine.changed:
                machine.holds.remove(gate)

    # What has happened.

    @property
    def turns(self) -> tuple[TurnRecord, ...]:
        """Every turn that began or was refused, in their order."""
        with self._machine.changed:
            return tuple(self._machine.records)

    @property
    def pending(self) -> int:
        """Enqueued replies that no turn has taken yet."""
        return len(self._machine.script)

    @property
    def conversations_open(self) -> int:
        """Conversations that nobody has closed, those that were lost included."""
        return len(self._machine.open)

    def assert_all_used(self) -> None:
        """Check that every enqueued reply was taken, and every conversation closed.

        Raises:
            ScriptError: Not so; says what is left.
        """
        problems = []
        if self.pending:
            problems.append(f"{self.pending} enqueued replies were not used")
        if self.conversations_open:
            problems.append(
                f"{self.conversations_open} chats were not closed (use `with client.chat() as chat`, or "
                "close the client)"
            )
        if problems:
            raise ScriptError("; ".join(problems))

    # The engine.

    def open(self, preface: Preface) -> FakeConversation:
        """A new conversation."""
        return FakeConversation(self._machine, preface)

    def tokenize(self, text: str) -> list[int]:
        """Token ids: one for each control token, word (with the blank before it), mark and other blank."""
        self._machine.check_open()
        return self._machine.tokenizer.encode(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids; gives back what was tokenized, and nothing for an unknown id."""
        self._machine.check_open()
        return self._machine.tokenizer.decode(ids)

    def complete(self, prompt: str, options: TurnOptions) -> FakeTurn:
        """Continue a text with the next enqueued reply, or a text that depends on the prompt."""
        machine = self._machine
        machine.check_open()
        check_options(options, OF_COMPLETIONS & machine.settings.options)
        record = TurnRecord(
            conversation=0,
            messages=(),
            tools=(),
            prompt=prompt,
            sampler=options.sampler,
            thinking=False,
            options=options,
        )
        return FakeTurn(machine, Stage(), Prompt(machine.tokenizer.count(prompt)), record)

    def score(self, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
        """Log probabilities from -5 to -1 that depend on each token and all that is before it."""
        self._machine.check_open()
        if check is not None:
            check()
        if not prompt or not text:
            raise MessageError("Scoring needs a prompt and a text, and neither may be empty")
        before, tokens = prompt, []
        for piece in self._machine.tokenizer.pieces(text):
            before += piece
            tokens.append(logprob_of(before))
        return Score(math.fsum(tokens), tuple(tokens))

    def close(self) -> None:
        """Stop what runs, close the conversations. Idempotent."""
        self._machine.close()

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # An error of the test is not hidden behind what it left unused.
            if kind is None:
                self.assert_all_used()
        finally:
            self.close()

    def __repr__(self) -> str:
        counts = {
            "turns": len(self._machine.records),
            "pending": self.pending,
            "conversations_open": self.conversations_open,
        }
        return f"<FakeEngine: {json.dumps(counts)}>"

    def _enqueue(self, reply: FakeReply | Responder, hold: Place | None) -> Gate:
        machine = self._machine
        gate = Gate(machine.changed, hold)
        with machine.changed:
            machine.script.append(Entry(reply, gate))
        return gate
