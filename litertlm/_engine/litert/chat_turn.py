"""A turn of a conversation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from litertlm._engine.handle import Handle
from litertlm._engine.lib import ffi, lib, new_error, to_exception
from litertlm._engine.litert import wire
from litertlm._engine.litert.media import media_parts, shares
from litertlm._engine.litert.options import native_turn_options
from litertlm._engine.litert.turn import NativeTurn, close_stream
from litertlm._engine.seam import Delta
from litertlm.messages import Message, Text, ToolCall
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.conversation import LiteRtConversation

__all__ = ["ChatTurn"]


class ChatTurn(NativeTurn):
    """Implements :class:`litertlm._engine.seam.Turn`.

    Args:
        conversation: Whose turn it is.
        message: What is sent.
        message_json: The same as the engine takes it.
        options: Of the turn.
    """

    def __init__(
        self, conversation: LiteRtConversation, message: Message, message_json: bytes, options: TurnOptions
    ) -> None:
        super().__init__(conversation.engine, options)
        self._conversation = conversation
        self._message = message
        self._message_json = message_json
        self._native: Handle | None = None
        self._calls: list[ToolCall] = []
        # What the conversation had counted before; None: there was nothing in its KV cache.
        self._before = (0, 0)
        # Media among what is prefilled, and how many tokens of that are text.
        self._media = media_parts([message])
        self._text_tokens = 0

    def _begin(self) -> None:
        conversation = self._conversation
        self._native = native = conversation.native_for(self, self._options)
        self._stream = Handle("stream", "ltlm_stream", close_stream, native, warns=False)
        self._before = conversation.native_counts
        if not conversation.cached_tokens:
            self._media = media_parts([*conversation.messages, self._message])
        if self._media:
            self._text_tokens = conversation.text_tokens(self._message, self._media)
        error = new_error()
        # Before the call: an interruption right after it must not make the turn look as if it had not begun.
        conversation.touched = True
        with (
            native_turn_options(self._options, self._options.max_output_tokens) as options,
            native.using() as pointer,
        ):
            status = lib.ltlm_conversation_send(
                pointer, self._message_json, ffi.NULL, options, 0, self._stream.cell, error
            )
        if status != lib.LTLM_OK:
            # What the engine refuses when it is handed over has changed nothing.
            conversation.touched = False
            self._native = None
            raise to_exception(error, **self._context())

    def _deltas(self, fresh: list[bytes]) -> list[Delta]:
        documents = b",".join(fresh).decode("utf-8", errors="replace")
        return wire.deltas_from(json.loads(f"[{documents}]"), self._conversation.new_call_id)

    def _until_stop(self, delta: Delta) -> list[Delta]:
        shown = super()._until_stop(delta)
        self._calls += [call for part in shown for call in part.tool_calls]
        return shown

    def _count(self) -> None:
        assert self._native is not None
        total, counted, error = ffi.new("int32_t *"), ffi.new("ltlm_turn_counts *"), new_error()
        counts, (prefilled, decoded) = self.counts, self._before
        with self._native.using() as native:
            if lib.ltlm_conversation_token_count(native, total, error) == lib.LTLM_OK:
                counts.total = total[0]
            status = lib.ltlm_conversation_turn_counts(native, counted, error)
        if status == lib.LTLM_OK:
            counts.prompt = counted.prefill_tokens - prefilled
            counts.latest = counted.latest_prefill_tokens
            counts.completion = counted.decode_tokens - decoded
            counts.rates = counted.prefill_tokens_per_second, counted.decode_tokens_per_second
            self._before = counted.prefill_tokens, counted.decode_tokens
        else:
            counts.prompt = counts.latest = max(0, counts.total - self._conversation.cached_tokens)

    def _keep(self) -> None:
        text = "".join(self._text)
        answer = Message("assistant", ((Text(text),) if text else ()) + tuple(self._calls))
        if self._stops.hit:
            # The KV cache holds more than was shown. How long the rest is, only the next prefill can tell.
            self._disown()
            self.counts.total -= self.counts.completion
            self.counts.total += len(self._engine.tokenize(text)) + 1
        self._conversation.settled((self._message, answer), self.counts.total, self._before)

    def _disown(self) -> None:
        if self._native is not None:
            self._conversation.disown(self._native)

    def _release(self) -> None:
        if self._native is not None and (self._end is None or self._end.error is not None or self._stops.hit):
            self._disown()
            self._native.close()

    def _media_tokens(self) -> tuple[int, int]:
        if not self._media:
            return 0, 0
        return shares(self._media, max(0, self.counts.latest - self._text_tokens))

    def _context(self) -> dict[str, int]:
        return {"used": self._conversation.token_count, **super()._context()}
