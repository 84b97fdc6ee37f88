"""Tokens of one generation as they come from the C engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, ffi, lib, new_error, to_exception
from litertlm._engine.native.settings import Decoding
from litertlm.errors import ClosedError, LiteRTLMError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Generation", "Taken"]

# Longest stay in native code, so that Ctrl-C is noticed and a close from another thread gets its chance.
SLICE_MS = 100
# A fast model would wake the reader for every token; this many tokens, or this long, are collected first.
WANT = 16
LINGER_MS = 20


class Taken(NamedTuple):
    """Tokens that have come.

    Attributes:
        ids: Of each.
        log_probabilities: Of each, if they were asked for; else none.
        alternatives: Id and log-probability of the likeliest tokens at the place of each, likewise.
    """

    ids: list[int]
    log_probabilities: list[float]
    alternatives: list[list[tuple[int, float]]]


class Generation:
    """A generation on a sequence; made by :meth:`start`.

    Threads: one at a time, except :meth:`cancel`.

    Attributes:
        progress: What is known of it: the C struct, filled by the latest :meth:`take`.
    """

    def __init__(self, sequence: Handle) -> None:
        self._handle = Handle("turn", "ltlm_generation", partial(_dispose, sequence), sequence, warns=False)
        self._sequence = sequence
        # Reentrant: a destructor may close it at any moment.
        self._guard = threading.RLock()
        self._closed = self._woken = False
        self._alternatives = 0  # of each token
        self.progress = ffi.new("ltlm_progress *")

    def start(self, tokens: Sequence[int], decoding: Decoding) -> None:
        """Begin.

        Raises:
            EngineError, ChatBusy: It did not begin, and nothing changed.
        """
        error = new_error()
        self._alternatives = decoding.options.top_logprobs
        with decoding.native() as options, self._sequence.using() as sequence:
            ids = ffi.new("int32_t[]", tokens)
            check(
                lib.ltlm_generation_start(sequence, ids, len(tokens), options, self._handle.cell, error),
                error,
            )

    @property
    def ended(self) -> bool:
        """Whether the last token was taken."""
        return bool(self.progress.end != lib.LTLM_RUNNING)

    @property
    def was_cut(self) -> bool:
        """Whether a token limit or the end of the context ended it."""
        return self.progress.end in (lib.LTLM_END_LENGTH, lib.LTLM_END_CONTEXT)

    @property
    def was_cancelled(self) -> bool:
        """Whether it was stopped."""
        return bool(self.progress.end == lib.LTLM_END_CANCELLED)

    @property
    def failure(self) -> LiteRTLMError | None:
        """Why it failed; None when it did not."""
        if self.progress.end != lib.LTLM_END_FAILED:
            return None
        return to_exception(ffi.addressof(self.progress, "error"))

    def take(self, timeout: float | None) -> Taken:
        """Tokens that came; none when the time is over.

        Args:
            timeout: Seconds; None: without limit.

        Raises:
            ClosedError: It was closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000)
            want = WANT if self._woken else 1  # the first token at once, later ones in handfuls
            with self._handle.using() as generation:
                status = lib.ltlm_generation_take(
                    generation, want, LINGER_MS, min(max(left, 0), SLICE_MS), self.progress
                )
                if status == lib.LTLM_E_ENDED:
                    raise ClosedError("The turn has already ended")
                if status == lib.LTLM_OK:
                    count = self.progress.count
                    self._woken = self._woken or count > 0
                    return self._unpacked(count)
            if deadline is not None and left <= 0:
                break
        return Taken([], [], [])

    def logits(self, vocabulary: int) -> npt.NDArray[np.float32]:
        """What the latest token was chosen from, once it has ended: shape (vocabulary,), float32."""
        import numpy as np

        out, error = np.empty(vocabulary, np.float32), new_error()
        with self._handle.using() as generation:
            memory = ffi.from_buffer("float[]", out, require_writable=True)
            check(lib.ltlm_generation_logits(generation, memory, vocabulary, error), error)
        return out

    @property
    def needs_mask(self) -> bool:
        """Whether it waits for :meth:`allow`."""
        return bool(self.progress.needs_mask)

    def allow(self, mask: bytes) -> None:
        """Say which tokens may come next: bit ``t % 8`` of byte ``t // 8``, padded to whole 32-bit words."""
        error = new_error()
        with self._handle.using() as generation:
            bits = ffi.from_buffer("uint32_t[]", mask)
            status = lib.ltlm_generation_mask(generation, bits, len(bits), error)
        if status != lib.LTLM_E_ENDED:  # it may have been cancelled in the meantime
            check(status, error)

    def cancel(self) -> None:
        """Ask it to stop. Any thread, any time; nothing if it has not begun."""
        # Beside a take in another thread, but not beside the freeing of it.
        with self._guard:
            if not self._closed and self._handle.holds:
                lib.ltlm_generation_cancel(self._handle.cell[0])

    def close(self) -> None:
        """Stop it if it runs; within milliseconds. Idempotent."""
        with self._guard:
            self.cancel()
            self._closed = True
        self._handle.close()

    def _unpacked(self, count: int) -> Taken:
        progress, many = self.progress, self._alternatives
        others = _unpacked(progress.alternatives, count * many)
        told = _unpacked(progress.alternative_log_probabilities, count * many)
        pairs = list(zip(others, told, strict=True))
        return Taken(
            _unpacked(progress.tokens, count),
            _unpacked(progress.log_probabilities, count),
            [
                [pair for pair in pairs[start : start + many] if pair[0] >= 0]
                for start in range(0, len(pairs), many or 1)
            ],
        )


def _unpacked(array: Any, count: int) -> list[Any]:
    """The elements of a C array; none if there is no array."""
    return list(ffi.unpack(array, count)) if count and array != ffi.NULL else []


def _dispose(sequence: Handle, cell: Any) -> None:
    lib.ltlm_generation_dispose(cell, ffi.NULL)
    if sequence.closed and sequence.holds:
        sequence.close()  # it was busy when it was to be freed
