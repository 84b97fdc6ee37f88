"""A conversation on our own engine: what was said, and a sequence of tokens whose KV is kept.

What a turn prefills is what the chat template makes of all that was said; whatever of it the sequence holds
already is not computed again. So a conversation that was gone back in, forked or rebuilt is the very same as
one that took the straight way, and going back costs nothing: the next turn keeps what still fits.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from litertlm._engine.call_numbers import first_free_number
from litertlm._engine.lib import check, lib, native_text, new_error
from litertlm._engine.native.ahead import Ahead
from litertlm._engine.native.kv_state import load_state, save_state
from litertlm._engine.native.transcript import Passage, Transcript
from litertlm._engine.native.turn import ChatTurn
from litertlm._engine.seam import Mark, Preface
from litertlm.errors import ClosedError, ModalityUnavailable, OptionError, TemplateError
from litertlm.messages import Audio, Image, Message, Text
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from litertlm._engine.native.engine import NativeEngine

__all__ = ["NativeConversation"]


class NativeMark:
    """Implements :class:`litertlm._engine.seam.Mark`."""

    def __init__(self, said: tuple[Message, ...], transcript: Transcript) -> None:
        self.said = said
        self.transcript = transcript

    def close(self) -> None:
        """Forget it; there is nothing to free."""


class NativeConversation:
    """Implements :class:`litertlm._engine.seam.Conversation`."""

    def __init__(self, engine: NativeEngine, preface: Preface) -> None:
        self._closed = True
        self.engine = engine
        self._preface = preface
        # What was said beyond the preface, and how it went into the KV cache; the transcript is empty before
        # the first turn.
        self._said: tuple[Message, ...] = ()
        self._transcript = Transcript()
        self._call_numbers = itertools.count(first_free_number(preface.messages))
        self._process = os.getpid()
        self._require_text(preface.messages)
        if preface.messages or preface.tools:
            # What cannot be rendered is refused now, not by the first turn.
            self._rendered((), TurnOptions(), begins_reply=False)
        self.sequence = engine.new_sequence()
        # What is prefilled before there is a turn; None: nothing.
        self._ahead: Ahead | None = None
        self._closed = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said, the preface's messages first."""
        return self._preface.messages + self._said

    @property
    def token_count(self) -> int:
        """Tokens of the conversation, as of the last turn."""
        return self._transcript.length

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill; the start token too, if nothing was said."""
        self._require_open()
        return max(1, self._prompt(message, TurnOptions()).length - self.token_count)

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill."""
        self._require_open()
        rendered = self._rendered((message,), TurnOptions())
        return self._transcript.matching(rendered)[1]

    def prepare(self, message: Message, options: TurnOptions) -> ChatTurn:
        """A turn that has not begun."""
        self._require_open()
        thinking = self._preface.thinking if options.thinking is None else options.thinking
        if options.thinking_budget is not None and not thinking:
            raise OptionError("thinking_budget needs thinking to be on", hint="Pass thinking=True with it.")
        if options.visual_token_budget is not None:
            raise OptionError("visual_token_budget needs a model that takes images")
        prompt = self._prompt(message, options)
        sampler = self.engine.sampler_of(options.sampler, self._preface.sampler)
        return ChatTurn(self, message, prompt, options, sampler, tools=self._declares(options))

    def mark(self) -> NativeMark:
        """Remember this state."""
        return NativeMark(self._said, self._transcript)

    def rewind(self, mark: Mark) -> None:
        """Go back to ``mark``; KV that still fits is found by the next turn."""
        if not isinstance(mark, NativeMark):
            raise TypeError("the mark is of another engine")
        self._require_open()
        self._said, self._transcript = mark.said, mark.transcript

    def fork(self) -> NativeConversation:
        """An independent conversation in the same state; the KV is shared until they part."""
        self._require_open()
        other = NativeConversation(self.engine, self._preface)
        other._said, other._transcript = self._said, self._transcript
        other._call_numbers = itertools.count(first_free_number(other.messages))
        # While a turn runs on the sequence, the other's first turn finds what is in it.
        with self.sequence.using() as sequence:
            forked, error = self.engine.sequence_handle(), new_error()
            status = lib.ltlm_sequence_fork(sequence, forked.cell, error)
        if status != lib.LTLM_E_BUSY:
            check(status, error)
            other.sequence.close()
            other.sequence = forked
        return other

    def prefill(self) -> None:
        """Begin to compute what was said so far, in the background."""
        self._require_open()
        if self._ahead is not None or not (self.messages or self._preface.tools):
            return
        rendered = self._rendered((), TurnOptions(), begins_reply=False)
        ids = self._so_far().extended_to(rendered, self.engine.text.encode).ids
        self._ahead = Ahead(self.engine, ids)

    def save_kv(self) -> bytearray:
        """What is in the KV cache, for :meth:`restore_kv`."""
        self._require_open()
        return save_state(self.sequence, self._transcript, self.engine.digest)

    def restore_kv(self, state: Buffer) -> bool:
        """Have in the KV cache what another conversation had that said the same; whether it fits."""
        self._require_open()
        transcript = load_state(self.sequence, state, self.engine.digest, self.engine.vocabulary)
        if transcript is not None:
            self._transcript = transcript
        return transcript is not None

    def close(self) -> None:
        """Free the KV cache. Idempotent."""
        self._closed = True
        self.stop_prefill()
        self.sequence.close()

    def __del__(self) -> None:
        # A failed __init__ leaves it closed.
        if not self._closed and not self.engine.handle.closed and self._process == os.getpid():
            warnings.warn("unclosed chat", ResourceWarning, source=self, stacklevel=2)
            self.close()

    # ---- for its turns ----

    def settled(self, said: tuple[Message, ...], prompt: Transcript, reply: Passage | None) -> None:
        """A turn has ended well; ``reply`` as it stands in the KV cache, None if not all of it is to stay."""
        self._said += said
        self._transcript = prompt.followed_by(reply) if reply is not None else prompt

    def shared_tokens(self, prompt: Transcript) -> int:
        """How many tokens of a first prompt come before what the user says.

        Other chats may begin so, too.
        """
        preface = self._preface
        if self._transcript.passages or not (preface.tools or _system(preface)):
            return 0
        # With a message of the user: some templates put the system message inside of it.
        try:
            rendered = self.engine.text.render(
                (*_system(preface), _SOMETHING_ELSE),
                preface.tools,
                thinking=preface.thinking,
                add_generation_prompt=False,
                chat_template=preface.chat_template,
            )
        except TemplateError:
            return 0  # a template may object to the message
        common = rendered[: _common(rendered, prompt.text)]
        shared = [*self.engine.start_tokens, *self.engine.text.encode(common)]
        # Where the two part, the last tokens may be others.
        return _common(shared, prompt.ids)

    def tool_named_in(self, text: str) -> str:
        """The declared tool that a call which cannot be read seems to mean; "unknown" if it names none."""
        return next((tool.name for tool in self._preface.tools if tool.name in text), "unknown")

    def stop_prefill(self) -> None:
        """Compute nothing ahead any more; a turn that has begun has what was done."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def new_call_id(self) -> str:
        """An id for a tool call, unique in this conversation."""
        return f"call_{next(self._call_numbers)}"

    def _prompt(self, message: Message, options: TurnOptions) -> Transcript:
        """What a turn with this message prefills, from the conversation's beginning."""
        self._require_text((message,))
        rendered = self._rendered((message,), options)
        return self._so_far().extended_to(rendered, self.engine.text.encode)

    def _so_far(self) -> Transcript:
        """The transcript; before the first turn, the start token alone."""
        if self._transcript.passages:
            return self._transcript
        return Transcript((Passage("", self.engine.start_tokens),))

    def _rendered(self, more: tuple[Message, ...], options: TurnOptions, *, begins_reply: bool = True) -> str:
        preface = self._preface
        thinking = preface.thinking if options.thinking is None else options.thinking
        return self.engine.text.render(
            (*self.messages, *more),
            preface.tools if self._declares(options) else (),
            thinking=thinking,
            add_generation_prompt=begins_reply,
            chat_template=preface.chat_template,
        )

    def _declares(self, options: TurnOptions) -> bool:
        return bool(self._preface.tools) and options.tools

    def _require_text(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            for part in message.parts:
                if isinstance(part, Image | Audio):
                    kind = "image" if isinstance(part, Image) else "audio"
                    raise ModalityUnavailable(
                        f"This engine takes text only, and the message holds {kind}", modality=kind
                    )
                if isinstance(part, Text):
                    native_text(part.text, "message")

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("The chat is closed")
        _ = self.engine.handle.pointer  # raises if the client is closed, or of another process


# Begins as hardly any message does.
_SOMETHING_ELSE = Message("user", (Text("\u00b6"),))


def _system(preface: Preface) -> tuple[Message, ...]:
    """The system message, if there is one."""
    return preface.messages[:1] if preface.messages and preface.messages[0].role == "system" else ()


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items they have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(one), len(other)))
