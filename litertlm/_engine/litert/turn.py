"""A turn of the official library: from submitting it to the settled accounts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import ffi, lib, new_error, to_exception
from litertlm._engine.litert import wire
from litertlm._engine.seam import Delta, TurnEnd
from litertlm.errors import ClosedError, DeadlineExceeded
from litertlm.messages import Message, Text, Timings, ToolCall
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.conversation import LiteRtConversation

__all__ = ["LiteRtTurn"]

# Longest stay in native code, so that Ctrl-C is noticed and a close from another thread gets its chance.
SLICE_MS = 100
# A fast model would wake the reader for every token; this many tokens, or this long, are collected first.
WANT = 16
LINGER_MS = 20


class LiteRtTurn:
    """Implements :class:`litertlm._engine.seam.Turn`, and holds the engine's queue while it runs.

    Args:
        conversation: Whose turn it is.
        message: What is sent.
        message_json: The same as the engine takes it.
        text_tokens: Tokens of the rendered message if it has media, to tell the media's share; else None.
        options: Of the turn.
    """

    def __init__(
        self,
        conversation: LiteRtConversation,
        message: Message,
        message_json: bytes,
        text_tokens: int | None,
        options: TurnOptions,
    ) -> None:
        self._conversation = conversation
        self._message = message
        self._message_json = message_json
        self._text_tokens = text_tokens
        self._limit = options.max_output_tokens
        self._timeout = options.timeout
        self._queued = 0.0
        self._before = conversation.cached_tokens
        self._batch = ffi.new("ltlm_batch *")
        self._stream = Handle("stream", "ltlm_stream", _dispose, conversation.handle)
        self._woken = False
        self._cancelled = False
        self._raw: list[bytes] = []
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._end: TurnEnd | None = None
        # Whether the engine has finished and what it counted; guarded by the lock, as the next in line may
        # settle for a slow reader.
        self._settling = threading.RLock()
        self._settled = False
        self._counts = (0, 0)
        self._rates = (0.0, 0.0)
        self._token_count = self._before

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""
        return self._end

    def start(self) -> None:
        """Wait for the engine, and hand the message over."""
        try:
            self._queued = self._conversation.engine.queue.enter(self, self._timeout)
        except TimeoutError:
            raise DeadlineExceeded(self._timeout or 0.0) from None
        options = ffi.new("ltlm_turn_options *", {"max_output_tokens": self._limit or 0})
        error = new_error()
        # Before the call: an interruption right after it must not make the turn look as if it had not begun.
        touched, self._conversation.touched = self._conversation.touched, True
        with self._conversation.handle.using() as conversation:
            status = lib.ltlm_conversation_send(
                conversation, self._message_json, ffi.NULL, options, 0, self._stream.cell, error
            )
        if status != lib.LTLM_OK:
            self._conversation.touched = touched
            raise to_exception(error, **self._context())

    def take(self, timeout: float | None) -> Sequence[Delta]:
        """What has come since the last take."""
        if self._end is not None:
            return ()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000)
            if self._take_batch(min(max(left, 0), SLICE_MS)):
                return self._deliver()
            if self._cancelled:
                self.cancel()
            if deadline is not None and left <= 0:
                return ()

    def cancel(self) -> None:
        """Ask the engine to stop. Any thread, any time."""
        self._cancelled = True
        # If the lock is taken, the turn is being freed, which cancels it, or is being settled by another
        # thread; then the next slice of a take asks again.
        if self._settling.acquire(blocking=False):
            try:
                self._ask_to_stop()
            finally:
                self._settling.release()

    def close(self) -> None:
        """Stop it if it runs, wait for the engine to let go, free it. Idempotent."""
        with self._settling:
            self._ask_to_stop()
            self._stream.close()
            self._settled = True
        self._conversation.engine.queue.leave(self)

    def settle_if_over(self) -> bool:
        """Settle on behalf of a reader that is slower than the engine; whether the engine has finished."""
        if not self._settling.acquire(blocking=False):
            return False
        try:
            if not self._settled and not self._stream.closed:
                begun = self._stream.cell[0] != ffi.NULL
                if not begun or not lib.ltlm_stream_is_over(self._stream.cell[0]):
                    return False
                self._count()
        finally:
            self._settling.release()
        self._conversation.engine.queue.leave(self)
        return True

    def _ask_to_stop(self) -> None:
        """The lock is held, so the stream is not being freed."""
        if not self._stream.closed and self._stream.cell[0] != ffi.NULL:
            lib.ltlm_stream_cancel(self._stream.cell[0])

    def _take_batch(self, milliseconds: int) -> bool:
        """Whether a batch came within that time."""
        # The first token at once, later ones in handfuls.
        want = WANT if self._woken else 1
        with self._stream.using() as stream:
            status = lib.ltlm_stream_take(stream, want, LINGER_MS, milliseconds, self._batch)
            if status == lib.LTLM_E_TIMED_OUT:
                return False
            if status != lib.LTLM_OK:
                raise ClosedError("The turn has already ended")
            if self._batch.count:
                self._woken = True
                self._raw += ffi.buffer(self._batch.data, self._batch.size)[:].split(b"\0")[:-1]
        return True

    def _deliver(self) -> Sequence[Delta]:
        fresh = self._raw[-self._batch.count :] if self._batch.count else []
        documents = b",".join(fresh).decode("utf-8", errors="replace")
        deltas = wire.deltas_from(json.loads(f"[{documents}]"), self._conversation.new_call_id)
        for delta in deltas:
            self._text.append(delta.text)
            self._calls += delta.tool_calls
        if self._batch.ended:
            self._finish()
        return deltas

    def _finish(self) -> None:
        """The terminal item was taken: settle, and say how it ended."""
        with self._settling:
            if not self._settled:
                self._count()
        self._conversation.engine.queue.leave(self)
        ok = self._batch.end.status == lib.LTLM_OK
        prompt, completion = self._counts
        limit = self._conversation.engine.info.max_context
        full = limit is not None and self._token_count >= limit
        end = TurnEnd(
            error=None if ok else to_exception(ffi.addressof(self._batch, "end"), **self._context()),
            cut=full or (self._limit is not None and completion >= self._limit),
            prompt_tokens=prompt,
            completion_tokens=completion,
            reused_tokens=self._before,
            media_tokens=self._media_tokens(prompt),
            token_count=self._token_count,
            timings=self._timings(),
            raw=b"\n".join(self._raw).decode("utf-8", errors="replace"),
        )
        if ok:
            text = "".join(self._text)
            answer = Message("assistant", ((Text(text),) if text else ()) + tuple(self._calls))
            self._conversation.settled((self._message, answer), self._token_count)
        self._end = end

    def _count(self) -> None:
        """Read the engine's counts, and free what waited for it to be idle. The lock is held."""
        engine = self._conversation.engine
        total, counts, error = ffi.new("int32_t *"), ffi.new("ltlm_turn_counts *"), new_error()
        with self._conversation.handle.using() as conversation:
            if lib.ltlm_conversation_token_count(conversation, total, error) == lib.LTLM_OK:
                self._token_count = total[0]
            counted = lib.ltlm_conversation_turn_counts(conversation, counts, error) == lib.LTLM_OK
        added = max(0, self._token_count - self._before)
        self._rates = (
            (counts.prefill_tokens_per_second, counts.decode_tokens_per_second) if counted else (0.0, 0.0)
        )
        self._counts = (counts.prefill_tokens, counts.decode_tokens) if counted else (added, 0)
        engine.bury()
        self._settled = True

    def _media_tokens(self, prompt: int) -> int:
        """What the prompt has beyond its text; a start token, put before the very first, is not counted."""
        if self._text_tokens is None:
            return 0
        return max(0, prompt - self._text_tokens - (self._before == 0))

    def _timings(self) -> Timings:
        batch = self._batch
        first = batch.first_chunk_ns or batch.ended_ns
        prefill, decode = self._rates
        return Timings(
            queued=self._queued,
            time_to_first_token=(first - batch.started_ns) / 1e9,
            total=(batch.ended_ns - batch.started_ns) / 1e9,
            prefill_tokens_per_second=prefill,
            decode_tokens_per_second=decode,
        )

    def _context(self) -> dict[str, int]:
        """What a ContextOverflow says."""
        limit = self._conversation.engine.info.max_context
        return {"used": self._conversation.token_count, "limit": limit or 0}


def _dispose(stream: Any) -> None:
    lib.ltlm_stream_dispose(stream, ffi.NULL)
