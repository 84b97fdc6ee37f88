"""A conversation of the official library, with the state handling that it lacks.

The library cannot rewind, and a conversation is dead after any failed or cancelled turn. Its clones are
cheap, but wrong: when two of a family have diverged and the next prompt begins with tokens that the other one
has processed (as all prompts of one chat template do), the engine skips those tokens without having their
keys and values. ``tests/test_clone_bug.py`` shows it. A mark is therefore the list of messages, and going
back to it opens a conversation with them, which are prefilled again with the next turn.
"""

from __future__ import annotations

import io
import itertools
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, ffi, lib, native_text, new_error, python_text
from litertlm._engine.litert import wire
from litertlm._engine.litert.turn import LiteRtTurn
from litertlm._engine.seam import Mark, Preface
from litertlm.messages import Audio, Image, Message
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.engine import LiteRtEngine

__all__ = ["LiteRtConversation"]

# One image or recording is framed by two marker tokens.
FRAME_TOKENS = 2
AUDIO_TOKENS_PER_SECOND = 25


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
        self.engine = engine
        self._preface = preface
        self._call_numbers = itertools.count(1)
        # What was said beyond the preface, and how many tokens that takes.
        self._said: tuple[Message, ...] = at.said if at else ()
        self._token_count = at.token_count if at else 0
        # How many of them are in the KV cache; the rest is prefilled with the next turn.
        self.cached_tokens = 0
        # Whether a turn has begun that has not ended well.
        self.touched = False
        self.handle = self._create()

    @property
    def token_count(self) -> int:
        """Tokens of the conversation, as of the last turn."""
        return self._token_count

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill; an upper bound with media."""
        rendered = self.render(message)
        tokens = len(self.engine.tokenize(rendered)) + sum(self._media_tokens(part) for part in message.parts)
        if self.cached_tokens:
            return tokens
        # Everything said is rendered again, and the engine puts the start token before it.
        earlier = sum(self._media_tokens(part) for said in self._said for part in said.parts)
        return max(1, tokens + earlier + 1 - self._token_count)

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill, media as their placeholders."""
        text = native_text(wire.dump(wire.message_to_wire(message, with_media=False)), "message")
        out, error = ffi.new("char **"), new_error()
        with self.handle.using() as conversation:
            check(lib.ltlm_conversation_render(conversation, text, out, error), error)
        try:
            return python_text(out[0])
        finally:
            lib.ltlm_string_free(out[0])

    def prepare(self, message: Message, options: TurnOptions) -> LiteRtTurn:
        """A turn that has not begun."""
        text = native_text(wire.dump(wire.message_to_wire(message)), "message")
        has_media = any(isinstance(part, Image | Audio) for part in message.parts)
        text_tokens = len(self.engine.tokenize(self.render(message))) if has_media else None
        return LiteRtTurn(self, message, text, text_tokens, options)

    def mark(self) -> LiteRtMark:
        """Remember this state."""
        return LiteRtMark(self._token_count, self._said)

    def rewind(self, mark: Mark) -> None:
        """Go back to ``mark``; what was said until then is prefilled again with the next turn."""
        if not isinstance(mark, LiteRtMark):
            raise TypeError("the mark is of another engine")
        if not self.touched and len(mark.said) == len(self._said):
            return
        self._said, self._token_count = mark.said, mark.token_count
        alive = self._create()
        dead, self.handle, self.cached_tokens, self.touched = self.handle, alive, 0, False
        dead.close()

    def fork(self) -> LiteRtConversation:
        """An independent conversation in the same state."""
        return LiteRtConversation(self.engine, self._preface, at=self.mark())

    def close(self) -> None:
        """Free the KV cache. Idempotent."""
        self.handle.close()

    def settled(self, said: tuple[Message, ...], token_count: int) -> None:
        """A turn has ended well: what the KV cache holds now."""
        self._said += said
        self._token_count = self.cached_tokens = token_count
        self.touched = False

    def new_call_id(self) -> str:
        """An id for a tool call, unique in this conversation."""
        return f"call_{next(self._call_numbers)}"

    def _create(self) -> Handle:
        """A native conversation in which everything was said, and nothing prefilled."""
        handle = Handle("chat", "ltlm_conversation", self.engine.discard, self.engine.handle)
        error = new_error()
        with (
            self._native_options(self._preface.messages + self._said) as options,
            self.engine.queue.idle(),
            self.engine.handle.using() as engine,
        ):
            check(lib.ltlm_conversation_create(engine, options, handle.cell, error), error)
        return handle

    @contextmanager
    def _native_options(self, messages: tuple[Message, ...]) -> Iterator[Any]:
        """The C options struct; its strings live as long as the block."""
        system = messages[0] if messages and messages[0].role == "system" else None
        rest = [wire.message_to_wire(message) for message in messages if message is not system]
        strings: dict[str, Any] = {
            # Bare text that happens to parse as JSON would be taken as JSON.
            "system_json": wire.message_to_wire(system)["content"] if system else None,
            "messages_json": rest or None,
            "tools_json": wire.tools_to_wire(self._preface.tools) or None,
            "extra_context_json": (
                None if self._preface.thinking is None else {"enable_thinking": self._preface.thinking}
            ),
        }
        kept = {
            name: ffi.new("char[]", native_text(wire.dump(value), name.removesuffix("_json")))
            for name, value in strings.items()
            if value is not None
        }
        if self._preface.chat_template is not None:
            kept["chat_template"] = ffi.new(
                "char[]", native_text(self._preface.chat_template, "chat template")
            )
        thinking = {None: 0, True: 1, False: -1}[self._preface.thinking]
        sampler = self._native_sampler()
        yield ffi.new("ltlm_conversation_options *", {**kept, "thinking": thinking, "sampler": sampler})

    def _native_sampler(self) -> dict[str, Any]:
        """Every field set: an unset one would be the engine's idea of a default, which is greedy."""
        asked, model = self._preface.sampler, self.engine.options.sampler
        temperature = asked.temperature if asked.temperature is not None else model.temperature
        greedy = temperature == 0
        return {
            "set": True,
            "top_k": 1 if greedy else (asked.top_k if asked.top_k is not None else model.top_k),
            "top_p": asked.top_p if asked.top_p is not None else model.top_p,
            # Greedy is top-k 1: at temperature 0 the engine would divide by it.
            "temperature": 1.0 if greedy else temperature,
            "seed": asked.seed if asked.seed is not None else model.seed,
        }

    def _media_tokens(self, part: object) -> int:
        """Tokens that a medium takes beyond its placeholder, at most."""
        match part:
            case Image():
                return self.engine.options.image_tokens + FRAME_TOKENS
            case Audio(bytes() as data):
                with wave.open(io.BytesIO(data)) as recording:
                    seconds = recording.getnframes() / recording.getframerate()
                return int(seconds * AUDIO_TOKENS_PER_SECOND) + 1 + FRAME_TOKENS
            case _:
                return 0
