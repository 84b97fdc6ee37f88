"""A conversation of the official library, with the state handling that it lacks.

The library cannot rewind, a conversation is dead after any failed or cancelled turn, and what it samples by,
and what its template is told, is fixed when it is made. Its clones are cheap, but wrong: when two of a family
have diverged and the next prompt begins with tokens that the other one has processed (as all prompts of one
chat template do), the engine skips those tokens without having their keys and values.
``tests/test_clone_bug.py`` shows it.

So what a conversation is, is the list of its messages. A native one is made of them when a turn needs it, and
thrown away when it does not fit any more; then everything is prefilled again with the next turn.
"""

from __future__ import annotations

import itertools
import os
import warnings
import weakref
from typing import TYPE_CHECKING

from litertlm._engine.call_numbers import first_free_number
from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, lib, native_text, new_error
from litertlm._engine.litert import wire
from litertlm._engine.litert.chat_turn import ChatTurn
from litertlm._engine.litert.media import media_parts, most_tokens
from litertlm._engine.litert.options import check_options
from litertlm._engine.litert.rendering import render
from litertlm._engine.litert.shape import Shape
from litertlm._engine.seam import Mark, Preface
from litertlm.errors import ClosedError
from litertlm.messages import Audio, Image, Message
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from litertlm._engine.litert.engine import LiteRtEngine

__all__ = ["LiteRtConversation"]


class LiteRtMark:
    """Implements :class:`litertlm._engine.seam.Mark`."""

    def __init__(self, token_count: int, said: tuple[Message, ...]) -> None:
        self.token_count = token_count
        self.said = said

    def close(self) -> None:
        """Forget it; there is nothing to free."""


class LiteRtConversation:
    """Implements :class:`litertlm._engine.seam.Conversation`."""

    def __init__(self, engine: LiteRtEngine, preface: Preface, *, at: LiteRtMark | None = None) -> None:
        self._closed = True
        self.engine = engine
        self._preface = preface
        # What was said beyond the preface, and how many tokens that takes. A new tuple whenever it changes,
        # so that a mark can tell whether it is the state that it was.
        self._said: tuple[Message, ...] = at.said if at else ()
        self._token_count = at.token_count if at else 0
        self._call_numbers = itertools.count(first_free_number(self.messages))
        # The native conversation, and what it was made for; None: there is none now.
        self.handle: Handle | None = None
        self._shape: Shape | None = None
        # How many tokens are in its KV cache; what was said beyond them is prefilled with the next turn.
        self.cached_tokens = 0
        # Tokens that it has counted so far: prefilled, decoded.
        self.native_counts = (0, 0)
        # Whether a turn has begun on it that has not ended well.
        self.touched = False
        self._turn: weakref.ref[ChatTurn] | None = None
        _ = engine.handle.pointer  # raises if the client is closed, or of another process
        engine.renderers.get(preface)
        if at is None:
            # What cannot be sent is refused now, not by the first turn.
            with Shape.of(preface, TurnOptions(), engine.options.sampler).native_options(
                preface, preface.messages, switches=False
            ):
                pass
        self._process = os.getpid()
        self._closed = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said, the preface's messages first."""
        return self._preface.messages + self._said

    @property
    def token_count(self) -> int:
        """Tokens of the conversation, as of the last turn."""
        return self._token_count

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill; an upper bound with images."""
        if self.cached_tokens:
            return self._tokens_of(self.render(message), (message,))
        # Everything said is rendered again, and the engine puts the start token before it.
        tokens = self._tokens_of(self.render(message), (*self.messages, message))
        return max(1, tokens + 1 - self._token_count)

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill, media as their placeholders."""
        self._require_open()
        if self.handle is not None and self.cached_tokens and not self.touched:
            return render(self.handle, wire.message_to_wire(message, with_media=False))
        said = [wire.message_to_wire(each, with_media=False) for each in (*self.messages, message)]
        return render(self.engine.renderers.get(self._preface), said)

    def prepare(self, message: Message, options: TurnOptions) -> ChatTurn:
        """A turn that has not begun."""
        self._require_open()
        thinking = self._preface.thinking if options.thinking is None else options.thinking
        check_options(options, image_tokens=self.engine.options.image_tokens, thinking=thinking)
        text = native_text(wire.dump(wire.message_to_wire(message)), "message")
        return ChatTurn(self, message, text, options)

    def mark(self) -> LiteRtMark:
        """Remember this state."""
        return LiteRtMark(self._token_count, self._said)

    def rewind(self, mark: Mark) -> None:
        """Go back to ``mark``; what was said until then is prefilled again with the next turn."""
        if not isinstance(mark, LiteRtMark):
            raise TypeError("the mark is of another engine")
        self._require_open()
        if mark.said is self._said and not self.touched:
            return
        # First what cannot be kept: an interruption after it leaves a state that can be gone back from.
        self._drop()
        self._said, self._token_count = mark.said, mark.token_count

    def fork(self) -> LiteRtConversation:
        """An independent conversation in the same state."""
        self._require_open()
        return LiteRtConversation(self.engine, self._preface, at=self.mark())

    def prefill(self) -> None:
        """The library prefills with the next turn only."""

    def save_kv(self) -> None:
        """The library does not let anybody see it."""

    def restore_kv(self, state: Buffer) -> bool:
        """Nor change it."""
        return False

    def close(self) -> None:
        """Free the KV cache. Idempotent."""
        self._closed = True
        self._drop()

    def __del__(self) -> None:
        # A failed __init__ leaves it closed.
        if not self._closed and not self.engine.handle.closed and self._process == os.getpid():
            warnings.warn("unclosed chat", ResourceWarning, source=self, stacklevel=2)
            self.close()

    # ---- for its turns ----

    def native_for(self, turn: ChatTurn, options: TurnOptions) -> Handle:
        """The native conversation that a turn with these options can run on. The queue is held."""
        self._require_open()
        shape = Shape.of(self._preface, options, self.engine.options.sampler)
        if self.handle is None or not self.handle.holds or self.touched or shape != self._shape:
            self._drop()
            self._create(shape)
        self._turn = weakref.ref(turn)
        assert self.handle is not None
        return self.handle

    def text_tokens(self, message: Message, media: list[Image | Audio]) -> int:
        """Tokens of what sending ``message`` prefills, less its ``media``; the start token included."""
        # A placeholder is one token.
        return len(self.engine.tokenize(self.render(message))) - len(media) + (not self.cached_tokens)

    def settled(self, said: tuple[Message, ...], token_count: int, counts: tuple[int, int]) -> None:
        """A turn has ended well.

        Args:
            said: What it added.
            token_count: Of the whole conversation now.
            counts: What the native conversation has counted so far, if it is still there.
        """
        self._said += said
        self._token_count = token_count
        if self.handle is not None:
            self.cached_tokens, self.native_counts = token_count, counts
        self.touched = False

    def disown(self, native: Handle) -> None:
        """A native conversation cannot be used any more."""
        if self.handle is native:
            self.handle = None
            self.cached_tokens, self.native_counts, self.touched = 0, (0, 0), False

    def new_call_id(self) -> str:
        """An id for a tool call, unique in this conversation."""
        return f"call_{next(self._call_numbers)}"

    def _create(self, shape: Shape) -> None:
        """A native conversation in which everything was said, and nothing prefilled. The queue is held."""
        engine, error = self.engine, new_error()
        switches = engine.library.can(lib.LTLM_CAN_THINK)
        native = Handle("chat", "ltlm_conversation", engine.discard_conversation, engine.handle, warns=False)
        self.handle, self._shape = native, shape
        self.cached_tokens, self.native_counts, self.touched = 0, (0, 0), False
        with (
            shape.native_options(self._preface, self.messages, switches=switches) as options,
            engine.handle.using() as pointer,
        ):
            check(lib.ltlm_conversation_create(pointer, options, native.cell, error), error)

    def _drop(self) -> None:
        """Have no native conversation; one on which a turn runs is freed when that is over."""
        turn = self._turn() if self._turn is not None else None
        native = self.handle
        if native is None:
            return
        if turn is not None and self.touched:
            turn.close()
        self.disown(native)
        if turn is None or not turn.draining:
            native.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("The chat is closed")
        _ = self.engine.handle.pointer  # raises if the client is closed, or of another process

    def _tokens_of(self, rendered: str, messages: tuple[Message, ...]) -> int:
        media = media_parts(messages)
        image_tokens = self.engine.options.image_tokens
        # Each placeholder, which is rendered, gives way to what it stands for.
        return len(self.engine.tokenize(rendered)) + sum(
            most_tokens(medium, image_tokens) - 1 for medium in media
        )
