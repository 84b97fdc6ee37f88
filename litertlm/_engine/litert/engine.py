"""A model loaded by the official library."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from litertlm._engine.background import Background
from litertlm._engine.handle import Handle
from litertlm._engine.lib import Library, check, ffi, lib, native_text, new_error, python_text
from litertlm._engine.litert.completion import CompletionTurn, score
from litertlm._engine.litert.conversation import LiteRtConversation
from litertlm._engine.litert.options import honoured
from litertlm._engine.litert.rendering import Renderers
from litertlm._engine.log import listening
from litertlm._engine.seam import EngineInfo, Preface
from litertlm._engine.turns import TurnQueue
from litertlm.errors import BackendUnavailable, EngineError, LiteRTLMError
from litertlm.messages import Score
from litertlm.options import Sampler, TurnOptions

__all__ = ["LiteRtEngine", "LoadOptions"]

NO_CACHE = ":nocache"
SUFFIX = ".litertlm"

# How long a closing engine waits for conversations that another thread's garbage collection is freeing.
BURIALS = 1000
BURIAL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a model is loaded with, everything decided.

    Attributes:
        path: The model file, for messages.
        descriptor: Makes a fresh open descriptor of it.
        backend: ``"cpu"`` or ``"gpu"``.
        vision_backend: Likewise; None leaves the vision encoder out.
        audio_backend: Likewise.
        threads: CPU threads, >= 1.
        max_tokens: Context length wanted; None: the model's.
        max_context: The context length that results, None when unknown.
        cache_dir: Folder for weight caches; None: none are kept.
        sampler: The model's own sampler defaults, every field set.
        image_tokens: Most tokens that one image takes.
    """

    path: str
    descriptor: Callable[[], int]
    backend: str
    vision_backend: str | None
    audio_backend: str | None
    threads: int
    max_tokens: int | None
    max_context: int | None
    cache_dir: str | None
    sampler: Sampler
    image_tokens: int


class LiteRtEngine:
    """Implements :class:`litertlm._engine.seam.Engine`."""

    def __init__(self, library: Library, options: LoadOptions) -> None:
        self.library = library
        self.options = options
        self.queue = TurnQueue()
        self.background = Background()
        self.renderers = Renderers(self)
        # Cells of native objects to be freed when the engine is idle, and what frees them.
        self._dead: deque[tuple[Any, Callable[[Any, Any], int]]] = deque()
        self.handle = Handle("client", "ltlm_engine", self._dispose)
        _load(library, options, self.handle.cell)
        self.info = EngineInfo(
            engine="litert",
            library=library.path,
            library_version=library.version,
            backend=options.backend,
            vision_backend=options.vision_backend,
            audio_backend=options.audio_backend,
            threads=options.threads,
            max_context=options.max_context,
            cache_dir=options.cache_dir,
            keeps_cache=False,
            options=honoured(library, options.image_tokens if options.vision_backend else 0),
        )

    def open(self, preface: Preface) -> LiteRtConversation:
        """A new conversation; nothing is prefilled before its first turn."""
        return LiteRtConversation(self, preface)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, no start token added."""
        native, error, out = native_text(text, "text"), new_error(), ffi.new("ltlm_tokens *")
        with self.handle.using() as engine:
            check(lib.ltlm_engine_tokenize(engine, native, out, error), error)
        try:
            return list(ffi.unpack(out.ids, out.count)) if out.count else []
        finally:
            lib.ltlm_tokens_clear(out)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids; unknown ids give nothing, incomplete characters U+FFFD."""
        error, out = new_error(), ffi.new("char **")
        with self.handle.using() as engine:
            check(
                lib.ltlm_engine_detokenize(engine, ffi.new("int32_t[]", list(ids)), len(ids), out, error),
                error,
            )
        try:
            return python_text(out[0])
        finally:
            lib.ltlm_string_free(out[0])

    def complete(self, prompt: str, options: TurnOptions) -> CompletionTurn:
        """Continue a text, without a chat template."""
        return CompletionTurn(self, prompt, options)

    def score(self, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
        """How likely ``text`` is to follow ``prompt``; ``check`` may end the waiting."""
        return score(self, prompt, text, check)

    def close(self) -> None:
        """Cancel what runs, close the conversations, free the model. Idempotent; waits for the engine."""
        self.handle.close()
        self.background.wait()

    def discard_conversation(self, cell: Any) -> None:
        """Free the native conversation in a cell as soon as the engine is idle."""
        self._discard(cell, lib.ltlm_conversation_dispose)

    def discard_session(self, cell: Any) -> None:
        """Free the native session in a cell as soon as the engine is idle."""
        self._discard(cell, lib.ltlm_session_dispose)

    def _discard(self, cell: Any, dispose: Callable[[Any, Any], int]) -> None:
        # Freeing one waits inside native code while any generation runs, and this may be called from a
        # destructor at any moment; so it is only noted here unless the engine is idle now.
        self._dead.append((cell, dispose))
        with self.queue.if_idle() as idle:
            if idle:
                self.bury()

    def bury(self) -> None:
        """Free what was discarded. Only while the engine is idle and held by the caller."""
        for entry in list(self._dead):
            cell, dispose = entry
            # Busy: its stream is being freed by another thread's garbage collection; next time.
            if dispose(cell, new_error()) != lib.LTLM_E_BUSY:
                with suppress(ValueError):
                    self._dead.remove(entry)

    def _dispose(self, engine: Any) -> None:
        error = new_error()
        with self.queue.idle():
            for _ in range(BURIALS):
                self.bury()
                status = lib.ltlm_engine_dispose(engine, error)
                if status != lib.LTLM_E_BUSY:
                    break
                time.sleep(BURIAL_SECONDS)
            check(status, error)


def _load(library: Library, options: LoadOptions, cell: Any) -> None:
    """Create the native engine in its cell.

    The first attempt is silent: the engine tells why a load failed only to its log, and only at a level that
    prints, so a failed load is tried once more with the log on. The graphics stack prints whatever the level,
    so an attempt on a GPU is listened to from the start.
    """
    if not _uses_gpu(options):
        try:
            _create(library, options, cell)
            return
        except LiteRTLMError:
            pass
    with listening(library) as log:
        try:
            _create(library, options, cell)
            return
        except LiteRTLMError as error:
            failure = error
    raise _explain(failure, log.text, log.reason, options)


def _uses_gpu(options: LoadOptions) -> bool:
    return "gpu" in (options.backend, options.vision_backend, options.audio_backend)


def _create(library: Library, options: LoadOptions, cell: Any) -> None:
    strings = {
        "backend": options.backend,
        "vision_backend": options.vision_backend,
        "audio_backend": options.audio_backend,
        "cache_dir": options.cache_dir or NO_CACHE,
    }
    values: dict[str, Any] = {
        "fd": -1,
        "threads": options.threads,
        "max_tokens": options.max_tokens or 0,
        "benchmark": library.can(lib.LTLM_CAN_BENCHMARK),
    }
    # The engine knows a model by its suffix, and keeps a weight cache only for a file that it opened by name.
    if options.path.endswith(SUFFIX):
        values["path"] = ffi.new("char[]", os.fsencode(options.path))
    else:
        values["fd"] = options.descriptor()
    values |= {name: ffi.new("char[]", native_text(text, name)) for name, text in strings.items() if text}
    error = new_error()
    check(
        lib.ltlm_engine_create(library.pointer, ffi.new("ltlm_engine_options *", values), cell, error), error
    )


def _explain(failure: LiteRTLMError, log: str, reason: str, options: LoadOptions) -> LiteRTLMError:
    """The exception for a failed load, from the engine's status and its log."""
    words = reason or failure.message
    if _uses_gpu(options):
        if "vkCreateInstance" in log or "Found no drivers" in log:
            words = "no Vulkan driver was found"
        return BackendUnavailable(
            f"The model cannot be loaded on the GPU: {words}",
            backend="gpu",
            hint="Use backend='cpu', or install a Vulkan driver; `litertlm doctor` shows what is found.",
        )
    if isinstance(failure, EngineError):
        return EngineError(
            f"{options.path}: the engine cannot load this model: {words}",
            code=failure.code,
            log=log,
            hint="`litertlm doctor MODEL` tries it in a process of its own and shows the engine's log.",
        )
    return failure
