"""A generation of the official library: from waiting for the engine to the settled accounts."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import ffi, lib, to_exception
from litertlm._engine.seam import Delta, TurnEnd
from litertlm._engine.stops import StopFilter
from litertlm.errors import Cancelled, ClosedError, DeadlineExceeded, LiteRTLMError
from litertlm.messages import Timings
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.engine import LiteRtEngine

__all__ = ["Counts", "NativeTurn"]

# Longest stay in native code, so that Ctrl-C is noticed and a close from another thread gets its chance.
SLICE_MS = 100
# A fast model would wake the reader for every token; this many tokens, or this long, are collected first.
WANT = 16
LINGER_MS = 20


class Counts:
    """What the engine counted in one turn.

    Attributes:
        prompt: Tokens prefilled.
        latest: Of these, in the last prefill: the new message. What comes before it is an earlier reply that
            the template renders otherwise than it was generated.
        completion: Tokens decoded.
        reused: In the KV cache before, and still used.
        total: In the KV cache afterwards.
        rates: Tokens a second, of the prefill and of decoding.
    """

    prompt = latest = completion = reused = total = 0
    rates = (0.0, 0.0)


class NativeTurn(ABC):
    """What all turns have in common; one holds the engine's queue while it runs.

    Args:
        engine: Which runs it.
        options: Of the turn.
    """

    def __init__(self, engine: LiteRtEngine, options: TurnOptions) -> None:
        self._engine = engine
        self._options = options
        self._queued = 0.0
        self._stream: Handle | None = None
        self._batch = ffi.new("ltlm_batch *")
        self._woken = False
        self._cancelled = False
        self._raw: list[bytes] = []
        self._text: list[str] = []
        self._stops = StopFilter(options.stop)
        self._end: TurnEnd | None = None
        self.counts = Counts()
        # Guards the states below: the next in line may settle for a slow reader, and any thread may cancel.
        self._settling = threading.RLock()
        # The engine has finished, and what it counted was read.
        self._settled = False
        # It was closed; what of it still runs is seen to in the background, once that was told.
        self._left = self._draining = self._told = False

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""
        return self._end

    @property
    def draining(self) -> bool:
        """Whether it was left, and is seen to in the background."""
        return self._draining

    def start(self) -> None:
        """Wait for the engine, and hand it what there is to read."""
        try:
            self._queued = self._engine.queue.enter(self, self._options.timeout, check=self._check_cancelled)
        except TimeoutError:
            raise DeadlineExceeded(self._options.timeout or 0.0) from None
        try:
            self._begin()
        except LiteRTLMError:
            self.close()
            raise

    def _check_cancelled(self) -> None:
        """Raises Cancelled if nobody wants it any more."""
        if self._cancelled:
            raise Cancelled("The turn was cancelled")

    def take(self, timeout: float | None) -> Sequence[Delta]:
        """What has come since the last take."""
        if self._end is not None:
            return ()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._left:
                raise ClosedError("The turn was closed")
            if self._cancelled:
                self.cancel()  # perhaps it came before there was anything to stop
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000)
            if self._take_batch(min(max(left, 0), SLICE_MS)):
                deltas = self._deliver()
                if deltas or self._end is not None:
                    return deltas
            if deadline is not None and left <= 0:
                return ()

    def cancel(self) -> None:
        """Ask the engine to stop. Any thread, any time."""
        self._cancelled = True
        # If the lock is taken, the turn is being left, which cancels it, or is being settled by another
        # thread; then the next slice of a take asks again.
        if self._settling.acquire(blocking=False):
            try:
                if self._runs():
                    assert self._stream is not None
                    lib.ltlm_stream_cancel(self._stream.cell[0])
            finally:
                self._settling.release()

    def close(self) -> None:
        """Leave it: what the engine does not stop at once is seen to in the background. Idempotent."""
        with self._settling:
            self._left = True
            if self._is_busy():
                self._draining = True
                if self._runs():
                    assert self._stream is not None
                    lib.ltlm_stream_cancel(self._stream.cell[0])
        if not self._draining:
            self._drain()
        elif not self._told:
            self._disown()
            self._engine.background.submit(self._drain)
            self._told = True

    def settle_if_over(self) -> bool:
        """Settle on behalf of a reader that is slower than the engine; whether the engine has finished."""
        if not self._settling.acquire(blocking=False):
            return False
        try:
            if not self._settled:
                if self._draining or not self._is_over():
                    return False
                # Closed from above, it has nothing to count any more.
                with suppress(ClosedError):
                    self._settle()
        finally:
            self._settling.release()
        self._engine.queue.leave(self)
        return True

    # ---- what kinds of turn differ in ----

    @abstractmethod
    def _begin(self) -> None:
        """Make the stream, and give the engine what it reads. The queue is held."""

    @abstractmethod
    def _deltas(self, fresh: list[bytes]) -> list[Delta]:
        """What chunks of the stream say."""

    @abstractmethod
    def _count(self) -> None:
        """Read the engine's counts. The engine is idle, and the queue is held."""

    def _keep(self) -> None:  # noqa: B027 - a hook
        """The turn ended well."""

    def _disown(self) -> None:  # noqa: B027 - a hook
        """The turn did not end well, and nothing that it ran on may be used again."""

    def _release(self) -> None:  # noqa: B027 - a hook
        """The stream is freed: free what else is not needed any more."""

    def _media_tokens(self) -> tuple[int, int]:
        """Tokens that images took, and sound."""
        return 0, 0

    def _is_busy(self) -> bool:
        """Whether the engine may still be at it."""
        return self._runs() and not self._is_over()

    def _context(self) -> dict[str, int]:
        """What a ContextOverflow says."""
        return {"limit": self._engine.info.max_context or 0}

    # ---- the stream ----

    def _runs(self) -> bool:
        """Whether there is a stream that may be asked to stop. The lock is held."""
        stream = self._stream
        return stream is not None and not stream.closed and stream.holds

    def _is_over(self) -> bool:
        """Whether the engine has delivered its last. The lock is held."""
        stream = self._stream
        if stream is None or not stream.holds:
            return stream is not None and stream.closed  # not begun, or freed
        return not stream.closed and bool(lib.ltlm_stream_is_over(stream.cell[0]))

    def _take_batch(self, milliseconds: int) -> bool:
        """Whether a batch came within that time."""
        if self._stream is None:
            raise ClosedError("The turn has not begun")
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

    def _deliver(self) -> list[Delta]:
        shown = []
        for delta in self._deltas(self._raw[-self._batch.count :] if self._batch.count else []):
            shown += self._until_stop(delta)
        if self._stops.hit:
            self.cancel()
        if self._batch.ended:
            rest = self._stops.flush()
            if rest:
                self._text.append(rest)
                shown.append(Delta(rest))
            self._finish()
        return shown

    def _until_stop(self, delta: Delta) -> list[Delta]:
        """The part of it that comes before a stop text; nothing after one."""
        if self._stops.hit:
            return []
        text = self._stops.feed(delta.text)
        calls = () if self._stops.hit else delta.tool_calls
        if calls:
            text += self._stops.flush()  # a call stands between it and what may follow
        self._text.append(text)
        return [Delta(text, delta.thinking, calls)] if text or delta.thinking or calls else []

    def _finish(self) -> None:
        """The terminal item was taken: settle, and say how it ended."""
        with self._settling:
            if self._left:
                raise ClosedError("The turn was closed")
            if not self._settled:
                self._settle()
        self._engine.queue.leave(self)
        failed = self._batch.end.status != lib.LTLM_OK and not self._stops.hit
        if not failed:
            self._keep()
        self._end = self._ending(
            to_exception(ffi.addressof(self._batch, "end"), **self._context()) if failed else None
        )

    def _ending(self, error: LiteRTLMError | None) -> TurnEnd:
        counts, limit, most = self.counts, self._engine.info.max_context, self._options.max_output_tokens
        full = limit is not None and counts.total >= limit
        images, sound = self._media_tokens()
        return TurnEnd(
            error=error,
            cut=not self._stops.hit and (full or (most is not None and counts.completion >= most)),
            prompt_tokens=counts.prompt,
            completion_tokens=counts.completion,
            reused_tokens=counts.reused,
            image_tokens=images,
            audio_tokens=sound,
            token_count=counts.total,
            timings=self._timings(),
            raw=b"\n".join(self._raw).decode("utf-8", errors="replace"),
        )

    def _timings(self) -> Timings:
        batch = self._batch
        first = batch.first_chunk_ns or batch.ended_ns
        prefill, decode = self.counts.rates
        return Timings(
            queued=self._queued,
            time_to_first_token=(first - batch.started_ns) / 1e9,
            total=(batch.ended_ns - batch.started_ns) / 1e9,
            prefill_tokens_per_second=prefill,
            decode_tokens_per_second=decode,
        )

    def _settle(self) -> None:
        """The engine is done: read what it counted, and free what waited for that. The lock is held."""
        self._count()
        counts = self.counts
        counts.reused = max(0, counts.total - counts.prompt - counts.completion)
        self._engine.bury()
        self._settled = True

    def _drain(self) -> None:
        """See the engine through to its end, free the rest, and let the next one in."""
        try:
            if self._stream is not None:
                self._stream.close()
            self._release()
        finally:
            with self._settling:
                self._settled = True
                if self._engine.queue.is_held_by(self):
                    self._engine.bury()
            self._engine.queue.leave(self)


def close_stream(stream: Any) -> None:
    """Frees a native stream; waits for the engine."""
    lib.ltlm_stream_dispose(stream, ffi.NULL)
