"""Which engine runs a model, and what it is loaded with."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from litertlm._engine.memory import free_memory
from litertlm._engine.seam import Engine
from litertlm.errors import ModelFileError, OptionError
from litertlm.modelfile import ModelFile
from litertlm.options import Backend, EngineChoice, Sampler, WeightPlace

__all__ = ["Encoders", "Wanted", "choose", "recognise"]

if TYPE_CHECKING:
    from litertlm._engine.native.plan.steps import Plan
    from litertlm._engine.native.text import TextProcessor

# Weights are copied into huge pages if the copy takes no more than this share of the free memory, and the
# file is too large for the CPU's caches.
SHARE = 0.25
SMALL = 64 << 20

# The kernels for which no instruction set is needed, and which are slower than the official engine's.
PORTABLE = "portable"


@dataclass(frozen=True, slots=True)
class Encoders:
    """Where images and sound are encoded.

    Attributes:
        vision: ``"cpu"`` or ``"gpu"``; None: nowhere.
        audio: Likewise.
        at_once: Whether what cannot be used must be told when the model is loaded, not when it is needed.
    """

    vision: str | None
    audio: str | None
    at_once: bool

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.vision is not None or self.audio is not None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, checked.

    Attributes:
        engine: Which one.
        backend: Where the text model runs.
        encoders: Where images and sound are encoded.
        threads: CPU threads, >= 1.
        max_tokens: Context length wanted; None: the model's.
        sampler: The model's own sampler defaults, every field set.
        digest: Tells the model from others.
        lib: The official library's file, if one was named.
        cache_dir: Folder for the official library's weight caches; None: none are kept.
        weights: How our own engine reads weights.
        wide_cache: Whether its KV cache is float32.
        cache_limit: Bytes of KV of all chats; None: no limit.
    """

    engine: EngineChoice
    backend: Backend
    encoders: Encoders
    threads: int
    max_tokens: int | None
    sampler: Sampler
    digest: str
    lib: str | os.PathLike[str] | None
    cache_dir: str | None
    weights: WeightPlace
    wide_cache: bool
    cache_limit: int | None


def choose(file: ModelFile, wanted: Wanted) -> Engine:
    """Load the model on the engine that was asked for, or on the best one.

    Args:
        file: The verified model; it is closed when no engine needs it any more.
        wanted: What was asked for.

    Raises:
        OptionError: Our own engine was asked for, and it cannot run this model; the error says why.
        LiteRTLMError: The model cannot be loaded.
    """
    text = _native(file, wanted)
    if isinstance(text, str):
        if wanted.engine == "native":
            raise OptionError(
                f"engine='native' cannot run this: {text}",
                hint="engine='auto' uses the official library then.",
            )
        engine = _litert(file, wanted, reason=text)
        file.close()
        return engine
    encoders = wanted.encoders
    if not encoders.any:
        file.close()
        return text
    from litertlm._engine.paired import PairedEngine

    pair = PairedEngine(
        text,
        lambda: _litert(file, wanted, reason="the chat holds images or recordings"),
        vision_backend=encoders.vision,
        audio_backend=encoders.audio,
        media_engine="litert",
        release=file.close,
    )
    if encoders.at_once:
        try:
            _ = pair.media
        except BaseException:
            pair.close()
            raise
    return pair


def recognise(file: ModelFile) -> tuple[Plan, TextProcessor] | str:
    """What our own engine makes of a model, or why it does not recognise it; nothing is loaded."""
    from litertlm._engine.native.plan import NotRecognised, plan
    from litertlm._engine.native.text import TextProcessor

    try:
        return plan(file), TextProcessor(file)
    except NotRecognised as refusal:
        return str(refusal)
    except ModelFileError as refusal:
        # The official library may know what we do not, and says itself if it does not either.
        return refusal.problem


def _native(file: ModelFile, wanted: Wanted) -> Engine | str:
    """The model on our own engine, or why that cannot be."""
    if wanted.engine == "litert":
        return "engine='litert' was asked for"
    if wanted.backend != "cpu":
        return f"backend={wanted.backend!r} was asked for, and it runs on the CPU only"
    if wanted.lib is not None and wanted.engine == "auto":
        return "lib= names an engine library"
    recognised = recognise(file)
    if isinstance(recognised, str):
        return recognised
    from litertlm._engine.native.engine import NativeEngine, NativeOptions
    from litertlm._engine.native.plan import NotRecognised

    recipe, text = recognised
    limits = [wanted.max_tokens, file.description.max_context, recipe.max_context]
    options = NativeOptions(
        threads=wanted.threads,
        max_context=min(limit for limit in limits if limit is not None),
        sampler=wanted.sampler,
        digest=wanted.digest,
        kernels=os.environ.get("LITERTLM_KERNELS") or None,
        copy_weights=_copies(file, wanted.weights),
        wide_cache=wanted.wide_cache,
        cache_limit=wanted.cache_limit,
    )
    try:
        engine = NativeEngine(file, recipe, text, options)
    except NotRecognised as refusal:
        return str(refusal)
    if engine.kernels == PORTABLE and wanted.engine == "auto" and options.kernels is None:
        engine.close()
        return "this CPU has none of the instruction sets that it is fast with"
    return engine


def _copies(file: ModelFile, asked: WeightPlace) -> bool:
    """Whether weights are copied: when asked to, or when the copy leaves enough memory free."""
    if asked != "auto":
        return asked == "copied"
    free = free_memory()
    return free is not None and SMALL <= file.size <= free * SHARE


def _litert(file: ModelFile, wanted: Wanted, *, reason: str) -> Engine:
    from litertlm._engine.lib import load_library
    from litertlm._engine.litert import LiteRtEngine, LoadOptions

    limits = [limit for limit in (wanted.max_tokens, file.description.max_context) if limit is not None]
    engine = LiteRtEngine(
        load_library(wanted.lib),
        LoadOptions(
            path=str(Path(file.path).absolute()),
            descriptor=file.descriptor,
            backend=wanted.backend,
            vision_backend=wanted.encoders.vision,
            audio_backend=wanted.encoders.audio,
            threads=wanted.threads,
            max_tokens=wanted.max_tokens,
            max_context=min(limits, default=None),
            cache_dir=wanted.cache_dir,
            sampler=wanted.sampler,
            image_tokens=file.description.max_image_tokens or 0,
        ),
    )
    engine.info = replace(engine.info, reason=reason)
    return engine
