"""Turns: a message answered, and a text continued."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from litertlm._engine.native.generation import Generation, Taken
from litertlm._engine.native.logprobs import logprobs_of
from litertlm._engine.native.masking import Masking
from litertlm._engine.native.settings import COMPLETION, Decoding, require_tokens
from litertlm._engine.native.text import Called, Piece, Said, Thought
from litertlm._engine.native.transcript import Passage, Transcript
from litertlm._engine.seam import Delta, TurnEnd
from litertlm._engine.stops import StopFilter
from litertlm.errors import (
    Cancelled,
    ClosedError,
    ContextOverflow,
    LiteRTLMError,
    OptionError,
)
from litertlm.messages import Message, Text, Timings, TokenLogprob, ToolCall
from litertlm.options import Sampler, TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.handle import Handle
    from litertlm._engine.native.conversation import NativeConversation
    from litertlm._engine.native.engine import NativeEngine

__all__ = ["ChatTurn", "CompletionTurn"]


class NativeTurn(ABC):
    """What both kinds of turn have in common; implements :class:`litertlm._engine.seam.Turn`.

    Args:
        engine: Which runs it.
        prompt: What it prefills, from the beginning.
        options: Of the turn.
        sampler: Every field set.

    Raises:
        OptionError: An option names a token that the model does not have.
    """

    def __init__(
        self, engine: NativeEngine, prompt: Transcript, options: TurnOptions, sampler: Sampler
    ) -> None:
        require_tokens(options, engine.vocabulary)
        self._engine = engine
        self._prompt = prompt
        self._options = options
        self._sampler = sampler
        self._stops = StopFilter(options.stop)
        self._detokenizer = engine.text.detokenizer()
        self._masking = self._new_masking()
        self._generation: Generation | None = None
        self._cancelled = self._left = False
        self._ids: list[int] = []
        # What was written, control tokens included; and what of it was shown as text.
        self._written: list[str] = []
        self._shown: list[str] = []
        # Tokens that nobody has been told of yet, if log-probabilities are wanted.
        self._untold: tuple[TokenLogprob, ...] = ()
        self._end: TurnEnd | None = None

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""
        return self._end

    def start(self) -> None:
        """Hand the prompt over; it runs together with other conversations' turns."""
        if self._cancelled:
            raise Cancelled("The turn was cancelled")
        decoding = Decoding(
            self._options.max_output_tokens,
            self._sampler,
            self._options,
            stop_tokens=self._engine.stop_tokens,
            suppressed=self._engine.text.suppressed_tokens,
            masked=self._masking is not None,
            shared=self._shared(),
        )
        # Kept before it begins: whatever interrupts this, a close finds what runs.
        self._generation = generation = Generation(self._sequence())
        generation.start(self._prompt.ids, decoding)
        self._has_begun()
        if self._cancelled:
            generation.cancel()

    def take(self, timeout: float | None) -> Sequence[Delta]:
        """What has come since the last take."""
        if self._end is not None:
            return ()
        generation = self._generation
        if generation is None or self._left:
            raise ClosedError("The turn was closed" if self._left else "The turn has not begun")
        deltas = self._read(generation.take(timeout))
        if generation.needs_mask and not generation.ended and self._masking is not None:
            generation.allow(self._masking.mask())
        if generation.ended:
            deltas += self._finish(generation)
        return deltas

    def cancel(self) -> None:
        """Ask the engine to stop. Any thread, any time."""
        self._cancelled = True
        generation = self._generation
        if generation is not None:
            generation.cancel()

    def close(self) -> None:
        """Leave it: what of it runs stops within milliseconds. Idempotent."""
        self._left = True
        if self._generation is not None:
            self._generation.close()
        self._release()

    def _require_room(self) -> None:
        """Raises ContextOverflow unless there is room for the prompt and one token more."""
        limit = self._engine.max_context
        if self._prompt.length >= limit:
            used = self._used()
            raise ContextOverflow(used, self._prompt.length - used, limit)

    # ---- what kinds of turn differ in ----

    @abstractmethod
    def _sequence(self) -> Handle:
        """The sequence that it runs on."""

    @abstractmethod
    def _parsed(self, text: str) -> list[Delta]:
        """What a piece of the reply says."""

    def _rest(self) -> list[Delta]:
        """What the reply says beyond that, now that it is over."""
        return []

    def _has_read(self) -> None:  # noqa: B027 - a hook
        """A token was read that does not end the reply."""

    def _new_masking(self) -> Masking | None:
        """What decides which tokens may come; None: nothing does."""
        return None

    def _has_begun(self) -> None:  # noqa: B027 - a hook
        """What the sequence shares is settled."""

    def _keep(self, reply: Passage | None) -> None:  # noqa: B027 - a hook
        """The turn ended well."""

    def _release(self) -> None:  # noqa: B027 - a hook
        """It is over: free what is not needed any more."""

    def _used(self) -> int:
        """Tokens of the conversation before it."""
        return 0

    def _shared(self) -> int:
        """How many tokens at the prompt's beginning other conversations will begin with, too."""
        return 0

    # ---- the reply ----

    def _read(self, taken: Taken) -> list[Delta]:
        shown: list[Delta] = []
        told = logprobs_of(taken, self._engine.text)
        for place, token in enumerate(taken.ids):
            if self._stops.hit:
                break
            self._ids.append(token)
            self._untold += tuple(told[place : place + 1])
            if self._masking is not None:
                self._masking.accept(token)
            text = self._detokenizer.feed(token)
            self._written.append(text)
            if token in self._engine.stop_tokens:
                continue
            for delta in self._parsed(text) if text else ():
                shown += self._until_stop(delta)
            self._has_read()
        if self._stops.hit and self._generation is not None:
            self._generation.cancel()
        return shown

    def _until_stop(self, delta: Delta) -> list[Delta]:
        """The part of it that comes before a stop text; nothing after one."""
        if self._stops.hit:
            return []
        text = self._stops.feed(delta.text)
        calls = () if self._stops.hit else delta.tool_calls
        if calls:
            text += self._stops.flush()  # a call stands between it and what may follow
        self._shown.append(text)
        if not (text or delta.thinking or calls):
            return []
        return [self._with_tokens(Delta(text, delta.thinking, calls))]

    def _with_tokens(self, delta: Delta) -> Delta:
        """It, with the tokens that have come since the one before."""
        tokens, self._untold = self._untold, ()
        return replace(delta, logprobs=tokens)

    def _finish(self, generation: Generation) -> list[Delta]:
        """The last token was taken: say how it ended."""
        shown: list[Delta] = []
        if not self._stops.hit:
            rest = self._detokenizer.flush()
            self._written.append(rest)
            for delta in [*(self._parsed(rest) if rest else ()), *self._rest()]:
                shown += self._until_stop(delta)
        held = self._stops.flush()
        if held:
            self._shown.append(held)
            shown.append(self._with_tokens(Delta(held)))
        if self._untold:
            shown.append(self._with_tokens(Delta()))
        error = self._error(generation)
        reply = None if self._stops.hit else Passage("".join(self._written), tuple(self._ids))
        generation.close()
        if error is None:
            self._keep(reply)
        self._end = self._ending(generation, error, reply)
        self._release()
        return shown

    def _error(self, generation: Generation) -> LiteRTLMError | None:
        if generation.was_cancelled and not self._stops.hit:
            return Cancelled("The turn was cancelled")
        return generation.failure

    def _ending(self, generation: Generation, error: LiteRTLMError | None, reply: Passage | None) -> TurnEnd:
        progress = generation.progress
        # After a stop text the reply stands in the KV cache as far as the next prompt will find it there.
        said = (
            len(reply.ids) if reply is not None else len(self._engine.text.encode("".join(self._shown))) + 1
        )
        return TurnEnd(
            error=error,
            cut=not self._stops.hit and generation.was_cut,
            prompt_tokens=progress.prompt_tokens,
            completion_tokens=progress.generated_tokens,
            reused_tokens=progress.reused_tokens,
            image_tokens=0,
            audio_tokens=0,
            token_count=self._prompt.length + said,
            timings=self._timings(generation),
            raw=json.dumps({"text": "".join(self._written)}, ensure_ascii=False),
        )

    def _timings(self, generation: Generation) -> Timings:
        progress = generation.progress
        started, ended = progress.started_ns, progress.ended_ns
        running = progress.running_ns or ended
        first = progress.first_token_ns or ended
        return Timings(
            queued=(running - started) / 1e9,
            time_to_first_token=(first - started) / 1e9,
            total=(ended - started) / 1e9,
            prefill_tokens_per_second=_rate(progress.prefilled_tokens, first - running),
            decode_tokens_per_second=_rate(progress.generated_tokens - 1, ended - first),
        )


class ChatTurn(NativeTurn):
    """A message answered.

    Args:
        conversation: Whose turn it is.
        message: What is sent.
        prompt: What it prefills, from the conversation's beginning.
        options: Of the turn.
        sampler: Every field set.
        tools: Whether tools are declared.
    """

    def __init__(
        self,
        conversation: NativeConversation,
        message: Message,
        prompt: Transcript,
        options: TurnOptions,
        sampler: Sampler,
        *,
        tools: bool,
    ) -> None:
        super().__init__(conversation.engine, prompt, options, sampler)
        self._conversation = conversation
        self._message = message
        self._parser = conversation.engine.text.parser(tools=tools, prompt=prompt.text)
        self._calls: list[ToolCall] = []
        self._thought = 0  # tokens
        self._require_room()

    def _sequence(self) -> Handle:
        return self._conversation.sequence

    def _used(self) -> int:
        return self._conversation.token_count

    def _shared(self) -> int:
        return self._conversation.shared_tokens(self._prompt)

    def _has_begun(self) -> None:
        self._conversation.stop_prefill()

    def _new_masking(self) -> Masking | None:
        return Masking.of(self._engine.text, self._options, self._engine.vocabulary)

    def _parsed(self, text: str) -> list[Delta]:
        return [self._delta(piece) for piece in self._parser.feed(text)]

    def _rest(self) -> list[Delta]:
        return [self._delta(piece) for piece in self._parser.finish()]

    def _has_read(self) -> None:
        """Thinking that has used up its budget is ended."""
        end, budget = self._parser.channel_end, self._options.thinking_budget
        if budget is None or not end or self._masking is None:
            return
        self._thought += 1
        if self._thought >= budget:
            self._masking.force(self._engine.text.encode(end))

    def _delta(self, piece: Piece) -> Delta:
        if isinstance(piece, Said):
            return Delta(piece.text)
        if isinstance(piece, Thought):
            return Delta(thinking=piece.text)
        if isinstance(piece, Called):
            call = ToolCall(self._conversation.new_call_id(), piece.name, piece.arguments)
            return Delta(tool_calls=(call,))
        name = self._conversation.tool_named_in(piece.text)
        error = f"{piece.reason}: {piece.text}"
        return Delta(tool_calls=(ToolCall(self._conversation.new_call_id(), name, error=error),))

    def _until_stop(self, delta: Delta) -> list[Delta]:
        shown = super()._until_stop(delta)
        self._calls += [call for part in shown for call in part.tool_calls]
        return shown

    def _keep(self, reply: Passage | None) -> None:
        text = "".join(self._shown)
        answer = Message("assistant", ((Text(text),) if text else ()) + tuple(self._calls))
        self._conversation.settled((self._message, answer), self._prompt, reply)


class CompletionTurn(NativeTurn):
    """A text continued, apart from every conversation.

    Raises:
        OptionError: An option is set that needs a chat template.
    """

    def __init__(
        self, engine: NativeEngine, prompt: Transcript, options: TurnOptions, sampler: Sampler
    ) -> None:
        surplus = sorted(options.wanted - COMPLETION)
        if surplus:
            raise OptionError(f"complete takes no {surplus[0]}")
        super().__init__(engine, prompt, options, sampler)
        self._require_room()
        self._own = engine.new_sequence()

    def _sequence(self) -> Handle:
        return self._own

    def _parsed(self, text: str) -> list[Delta]:
        return [Delta(text)]

    def _release(self) -> None:
        self._own.close()


def _rate(tokens: int, nanoseconds: int) -> float:
    return tokens / nanoseconds * 1e9 if tokens > 0 and nanoseconds > 0 else 0.0
