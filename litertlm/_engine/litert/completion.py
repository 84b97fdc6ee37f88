"""Raw text without a chat template: continued, and scored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, ffi, lib, native_text, new_error
from litertlm._engine.litert.options import COMPLETION
from litertlm._engine.litert.shape import native_sampler
from litertlm._engine.litert.turn import NativeTurn, close_stream
from litertlm._engine.samplers import effective_sampler
from litertlm._engine.seam import Delta, TurnEnd
from litertlm.errors import Cancelled, ContextOverflow, EngineError, LiteRTLMError, MessageError, OptionError
from litertlm.messages import Score
from litertlm.options import Sampler, TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.engine import LiteRtEngine

__all__ = ["CompletionTurn", "score"]

# Seconds of waiting in one piece.
LONGEST_WAIT = 0.025


class CompletionTurn(NativeTurn):
    """Implements :class:`litertlm._engine.seam.Turn` for a text that is continued.

    The library reads the text in a call that returns when it has read it, and cannot be interrupted: it is
    made in the background.

    Args:
        engine: Which runs it.
        prompt: The text to continue.
        options: Of the turn; ``max_output_tokens``, ``timeout``, ``sampler`` and ``stop`` only.

    Raises:
        MessageError: There is no text, or it is none.
        OptionError: Another option is set.
        ContextOverflow: The text leaves no room for a continuation.
    """

    def __init__(self, engine: LiteRtEngine, prompt: str, options: TurnOptions) -> None:
        super().__init__(engine, options)
        surplus = sorted(options.wanted - COMPLETION)
        if surplus:
            raise OptionError(f"complete takes no {surplus[0]}")
        self._prompt = _checked(prompt, "prompt")
        self._needed = _require_room(engine, engine.tokenize(prompt))
        self._session: Handle | None = None
        # The text was read, and decoding has begun unless there is a failure.
        self._read = threading.Event()
        self._failure: LiteRTLMError | None = None

    def _begin(self) -> None:
        sampler = effective_sampler(self._options.sampler, self._engine.options.sampler)
        self._session = open_session(self._engine, sampler, self._options.max_output_tokens or 0)
        self._stream = Handle("stream", "ltlm_stream", close_stream, self._session, warns=False)
        self._engine.background.submit(self._read_prompt)

    def _read_prompt(self) -> None:
        """In the background: prefill, then decode unless the turn was left in the meantime."""
        try:
            assert self._session is not None
            assert self._stream is not None
            error = new_error()
            with self._session.using() as session:
                check(lib.ltlm_session_prefill(session, self._prompt, error), error, **self._context())
                if self._cancelled:
                    raise Cancelled("The turn was cancelled")
                if not self._left:
                    check(lib.ltlm_session_decode(session, 0, self._stream.cell, error), error)
        except LiteRTLMError as failure:
            self._failure = failure
        finally:
            self._read.set()

    def _take_batch(self, milliseconds: int) -> bool:
        if not self._read.is_set():
            self._read.wait(milliseconds / 1000)
            return False
        if self._failure is not None:
            self._fail(self._failure)
            return True
        return super()._take_batch(milliseconds)

    def _fail(self, failure: LiteRTLMError) -> None:
        with self._settling:
            self._settled = True
        self._engine.queue.leave(self)
        self._end = self._ending(failure)

    def _deliver(self) -> list[Delta]:
        return [] if self._end is not None else super()._deliver()

    def _deltas(self, fresh: list[bytes]) -> list[Delta]:
        return [Delta(piece.decode("utf-8", errors="replace")) for piece in fresh if piece]

    def _count(self) -> None:
        assert self._session is not None
        counted, counts, error = ffi.new("ltlm_turn_counts *"), self.counts, new_error()
        with self._session.using() as session:
            if lib.ltlm_session_turn_counts(session, counted, error) == lib.LTLM_OK:
                counts.prompt = counts.latest = counted.prefill_tokens
                counts.completion = counted.decode_tokens
                counts.rates = counted.prefill_tokens_per_second, counted.decode_tokens_per_second
        counts.total = counts.prompt + counts.completion

    def _is_busy(self) -> bool:
        return (self._session is not None and not self._read.is_set()) or super()._is_busy()

    def _is_over(self) -> bool:
        if self._session is not None and self._read.is_set() and self._failure is not None:
            return True
        return super()._is_over()

    def _ending(self, error: LiteRTLMError | None) -> TurnEnd:
        # The end of the context, once it writes, is no failure: conversations are told so, too.
        full = isinstance(error, ContextOverflow) and self.counts.completion > 0
        return super()._ending(None if full else error)

    def _context(self) -> dict[str, int]:
        return {"needed": self._needed, **super()._context()}

    def _release(self) -> None:
        if self._session is not None:
            self._session.close()


def score(engine: LiteRtEngine, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
    """How likely ``text`` is to follow ``prompt``; waits for the engine, and for its answer.

    Args:
        engine: Which does it.
        prompt: What stands before it.
        text: What is scored.
        check: Called now and then while it waits; what it raises ends that, and the engine goes on alone.

    Raises:
        MessageError: One of them is empty, or no text.
        ContextOverflow: They do not fit the context.
        EngineError: The library cannot score, or failed.
    """
    before, target = _checked(prompt, "prompt"), _checked(text, "text")
    if not engine.library.can(lib.LTLM_CAN_SCORE):
        raise EngineError("This engine library cannot score text")
    # The engine does not look, and would write beyond its memory.
    _require_room(engine, engine.tokenize(prompt), engine.tokenize(text))
    return _Scoring(engine, before, target).result(check or _no_check)


class _Scoring:
    """A text being scored. The library's call cannot be interrupted, so it is made in the background."""

    def __init__(self, engine: LiteRtEngine, prompt: bytes, text: bytes) -> None:
        self._engine, self._prompt, self._text = engine, prompt, text
        self._over = threading.Event()
        self._score: Score | None = None
        self._failure: BaseException | None = None

    def result(self, check: Callable[[], None]) -> Score:
        """Wait for it."""
        self._engine.queue.enter(self, check=check)
        try:
            check()
            self._engine.background.submit(self._run)
        except BaseException:
            self._engine.queue.leave(self)
            raise
        while not self._over.wait(LONGEST_WAIT):
            check()
        if self._failure is not None:
            raise self._failure
        assert self._score is not None
        return self._score

    def settle_if_over(self) -> bool:
        """Whether the engine has finished with it; any thread."""
        return self._over.is_set()

    def _run(self) -> None:
        """In the background, the queue being held."""
        try:
            self._score = self._scored()
        except BaseException as failure:
            self._failure = failure
        finally:
            self._over.set()
            self._engine.queue.leave(self)

    def _scored(self) -> Score:
        total, scores, count = ffi.new("float *"), ffi.new("float **"), ffi.new("size_t *")
        error = new_error()
        session = open_session(self._engine, effective_sampler(self._engine.options.sampler), 0)
        try:
            with session.using() as pointer:
                check(lib.ltlm_session_prefill(pointer, self._prompt, error), error)
                check(lib.ltlm_session_score(pointer, self._text, total, scores, count, error), error)
            try:
                return Score(float(total[0]), tuple(ffi.unpack(scores[0], count[0])) if count[0] else ())
            finally:
                lib.ltlm_scores_free(scores[0])
        finally:
            session.close()
            self._engine.bury()


def _no_check() -> None:
    """Nothing ends the waiting."""


def open_session(engine: LiteRtEngine, sampler: Sampler, max_output_tokens: int) -> Handle:
    """A native session. The queue is held."""
    options = {"sampler": native_sampler(sampler), "max_output_tokens": max_output_tokens}
    session = Handle("completion", "ltlm_session", engine.discard_session, engine.handle, warns=False)
    error = new_error()
    with engine.handle.using() as pointer:
        native = ffi.new("ltlm_session_options *", options)
        check(lib.ltlm_session_create(pointer, native, session.cell, error), error)
    return session


def _checked(text: str, what: str) -> bytes:
    if not isinstance(text, str) or not text:
        raise MessageError(f"The {what} is no text, or empty")
    return native_text(text, what)


def _require_room(engine: LiteRtEngine, *texts: list[int]) -> int:
    """There is room for these texts, a start token and one token more; the tokens without that one."""
    limit, needed = engine.info.max_context, sum(map(len, texts)) + 1
    if limit is None:
        raise EngineError(
            "The model file does not say how long its context is, so raw text is not safe in it"
        )
    if needed >= limit:
        raise ContextOverflow(0, needed, limit)
    return needed
