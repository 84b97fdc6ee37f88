"""A model on our own engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, ffi, lib, native_text, new_error, python_text
from litertlm._engine.native.compiled import native_plan
from litertlm._engine.native.conversation import NativeConversation
from litertlm._engine.native.plan import NotRecognised, Plan
from litertlm._engine.native.pool import leave_pool, shared_pool
from litertlm._engine.native.scoring import score
from litertlm._engine.native.settings import HONOURED
from litertlm._engine.native.text import TextProcessor
from litertlm._engine.native.transcript import Passage, Transcript
from litertlm._engine.native.turn import CompletionTurn
from litertlm._engine.samplers import effective_sampler
from litertlm._engine.seam import EngineInfo, Preface
from litertlm.errors import MessageError, ModelFileError, OptionError
from litertlm.messages import Score
from litertlm.modelfile import ModelFile
from litertlm.modelfile.source import DAMAGED
from litertlm.options import Sampler, TurnOptions

__all__ = ["NativeEngine", "NativeOptions"]


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """What a model is loaded with, everything decided.

    Attributes:
        threads: Of the pool, >= 1.
        max_context: In tokens; at most what the model's graph allows.
        sampler: The model's own sampler defaults, every field set.
        digest: Tells the model from others; saved KV is of use to the same model only.
        kernels: Name of an instruction set's kernels; None: the best for this CPU.
        copy_weights: Whether weights are copied into huge pages, instead of being read from the mapped file.
        wide_cache: Whether the KV cache is float32 instead of float16.
        cache_limit: Bytes of KV for all chats; None: no limit.
    """

    threads: int
    max_context: int
    sampler: Sampler
    digest: str = ""
    kernels: str | None = None
    copy_weights: bool = False
    wide_cache: bool = False
    cache_limit: int | None = None


class NativeEngine:
    """Implements :class:`litertlm._engine.seam.Engine`.

    Args:
        file: The verified model file; it may be closed afterwards.
        plan: What it computes.
        text: Its tokenizer, templates and parsers.
        options: Everything decided.

    Raises:
        NotRecognised: The plan is beyond what can be run.
        ModelFileError: The file is cut off, or its weights are damaged.
        OptionError: This CPU lacks the kernels that were asked for.
        EngineError: There is not enough memory.
    """

    def __init__(self, file: ModelFile, plan: Plan, text: TextProcessor, options: NativeOptions) -> None:
        self.text = text
        self.max_context = options.max_context
        self.vocabulary = plan.vocabulary
        # Ids before every conversation.
        self.start_tokens = () if text.start_token is None else (text.start_token,)
        self.stop_tokens = tuple(ids[0] for ids in text.stop_tokens if len(ids) == 1)
        self.digest = options.digest
        self._sampler = options.sampler
        with shared_pool(options.threads) as self._pool:
            self.handle = Handle("client", "ltlm_model", _dispose_model, self._pool)
        try:
            self._load(file, replace(plan, max_context=options.max_context), options)
        except BaseException:
            self.close()
            raise
        facts = self._facts()
        self.kernels = python_text(facts.kernels)
        self.info = EngineInfo(
            engine="native",
            library=f"litertlm ({self.kernels})",
            library_version="",
            backend="cpu",
            vision_backend=None,
            audio_backend=None,
            threads=options.threads,
            max_context=options.max_context,
            cache_dir=None,
            keeps_cache=True,
            options=HONOURED,
        )

    def open(self, preface: Preface) -> NativeConversation:
        """A new conversation; nothing is prefilled before its first turn."""
        return NativeConversation(self, preface)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, no start token added."""
        _ = self.handle.pointer  # raises if it is closed
        native_text(text, "text")
        return self.text.encode(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids; unknown ids give nothing, incomplete characters U+FFFD."""
        _ = self.handle.pointer
        return self.text.decode(ids)

    def complete(self, prompt: str, options: TurnOptions) -> CompletionTurn:
        """Continue a text, without a chat template."""
        if not isinstance(prompt, str) or not prompt:
            raise MessageError("The prompt is no text, or empty")
        native_text(prompt, "prompt")
        transcript = Transcript(
            (Passage("", self.start_tokens), Passage(prompt, tuple(self.tokenize(prompt))))
        )
        return CompletionTurn(self, transcript, options, self.sampler_of(options.sampler))

    def score(self, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
        """How likely ``text`` is to follow ``prompt``."""
        return score(self, prompt, text, check)

    def close(self) -> None:
        """Cancel what runs, close the conversations, free the model, end its threads. Idempotent."""
        self.handle.close()
        leave_pool(self._pool)

    # ---- for its conversations and turns ----

    def sampler_of(self, *asked: Sampler) -> Sampler:
        """Each field from the first that sets it, or the model's."""
        return effective_sampler(*asked, self._sampler)

    def sequence_handle(self) -> Handle:
        """A place for a sequence, still empty."""
        return Handle(
            "chat", "ltlm_sequence", partial(_dispose_sequence, self.handle), self.handle, warns=False
        )

    def new_sequence(self) -> Handle:
        """An empty sequence."""
        sequence, error = self.sequence_handle(), new_error()
        with self.handle.using() as model:
            check(lib.ltlm_sequence_create(model, sequence.cell, error), error)
        return sequence

    def _load(self, file: ModelFile, plan: Plan, options: NativeOptions) -> None:
        error = new_error()
        kernels = ffi.new("char[]", os.fsencode(options.kernels)) if options.kernels else ffi.NULL
        descriptor = file.descriptor()
        try:
            settings = ffi.new(
                "ltlm_model_options *",
                {
                    "fd": descriptor,
                    "file_size": file.size,
                    "kernels": kernels,
                    "copy_weights": options.copy_weights,
                    "wide_cache": options.wide_cache,
                    "cache_limit": options.cache_limit or 0,
                },
            )
            with native_plan(plan) as native, self._pool.using() as pool:
                status = lib.ltlm_model_create(pool, native, settings, self.handle.cell, error)
        finally:
            os.close(descriptor)
        reason = python_text(error.reason)
        if status == lib.LTLM_E_INVALID_ARGUMENT:
            raise NotRecognised(reason)
        if status == lib.LTLM_E_ENGINE:
            raise ModelFileError(reason, path=file.path, place="weights", hint=DAMAGED)
        if status == lib.LTLM_E_UNSUPPORTED:
            raise OptionError(
                f"LITERTLM_KERNELS: {reason}", hint="Without it the best ones for this CPU are taken."
            )
        check(status, error)

    def _facts(self) -> Any:
        facts = ffi.new("ltlm_model_facts *")
        with self.handle.using() as model:
            lib.ltlm_model_describe(model, facts)
        return facts


# When garbage is collected, parents may go before their children. Whoever is busy then is freed with the last
# of them.


def _dispose_model(cell: Any) -> None:
    lib.ltlm_model_dispose(cell, new_error())


def _dispose_sequence(model: Handle, cell: Any) -> None:
    lib.ltlm_sequence_dispose(cell, new_error())
    if model.closed and model.holds:
        _dispose_model(model.cell)
