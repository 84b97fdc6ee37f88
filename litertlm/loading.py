"""Loading a model: what was asked for, what the file holds, and what results."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from litertlm._engine.model import ModelFacts
from litertlm.bundled import bundled_model
from litertlm.errors import BackendUnavailable, ModalityUnavailable, OptionError
from litertlm.folders import cache_folder
from litertlm.modelfile import ModelDescription, open_model
from litertlm.modelfile.control_tokens import read_control_tokens
from litertlm.options import (
    FALLBACK_SAMPLER,
    Backend,
    CacheType,
    EncoderBackend,
    EngineChoice,
    Sampler,
    WeightPlace,
    check_choice,
    check_integer,
)

if TYPE_CHECKING:
    from litertlm._engine.choice import Encoders
    from litertlm._engine.seam import Engine

__all__ = ["check_backend", "load_engine", "native_refusal"]

MODALITY_OF = {"vision": "image", "audio": "audio"}


def check_backend(backend: object) -> None:
    """Raises BackendUnavailable unless it is one that litertlm knows."""
    if backend not in get_args(Backend):
        raise BackendUnavailable(
            f"There is no backend {backend!r}",
            backend=str(backend),
            hint=f"Use one of: {', '.join(get_args(Backend))}.",
        )


def load_engine(
    *,
    engine: EngineChoice,
    model: str | os.PathLike[str] | None,
    backend: Backend,
    vision_backend: EncoderBackend,
    audio_backend: EncoderBackend,
    threads: int | None,
    max_tokens: int | None,
    cache_dir: str | os.PathLike[str] | None,
    lib: str | os.PathLike[str] | None,
    weights: WeightPlace,
    kv_cache: CacheType,
    kv_cache_limit: int | None,
) -> tuple[Engine, ModelFacts]:
    """Verify the model file and load it; arguments as for :class:`Client`."""
    check_choice("engine", engine, get_args(EngineChoice))
    check_backend(backend)
    check_choice("vision_backend", vision_backend, get_args(EncoderBackend))
    check_choice("audio_backend", audio_backend, get_args(EncoderBackend))
    check_choice("weights", weights, get_args(WeightPlace))
    check_choice("kv_cache", kv_cache, get_args(CacheType))
    # The engine really starts as many threads as it is told.
    check_integer("threads", threads, 1, os.cpu_count() or 1)
    check_integer("max_tokens", max_tokens, 16, 2**31 - 1)
    check_integer("kv_cache_limit", kv_cache_limit, 1, 2**63 - 1)
    # Imported here: native code is loaded when it is used, not when litertlm is imported.
    from litertlm._engine.choice import Encoders, Wanted, choose
    from litertlm._engine.cores import available_cores

    file = open_model(bundled_model() if model is None else model)
    try:
        description = file.description
        encoders = Encoders(
            _encoder_backend("vision", vision_backend, backend, description),
            _encoder_backend("audio", audio_backend, "cpu", description),
            at_once="gpu" in (vision_backend, audio_backend),
        )
        facts = ModelFacts(
            path=description.path,
            model_type=description.model_type,
            modalities=("text", *_modalities(encoders)),
            control_tokens=read_control_tokens(file),
            sampler=_model_sampler(description),
            supports_thinking=description.supports_thinking,
            supports_tools=description.supports_tools,
            chat_template=description.chat_template,
            digest=_digest(description),
        )
        chosen = choose(
            file,
            Wanted(
                engine=engine,
                backend=backend,
                encoders=encoders,
                threads=threads or available_cores(),
                max_tokens=max_tokens,
                sampler=facts.sampler,
                digest=facts.digest,
                lib=lib,
                cache_dir=_cache_dir(cache_dir),
                weights=weights,
                wide_cache=kv_cache == "float32",
                cache_limit=kv_cache_limit,
            ),
        )
    except BaseException:
        file.close()
        raise
    return chosen, facts


def native_refusal(model: str | os.PathLike[str] | None) -> str | None:
    """Why our own engine does not recognise a model; None: it does. Nothing is loaded.

    Raises:
        ModelFileError: It is no model, or damaged.
    """
    from litertlm._engine.choice import recognise

    with open_model(bundled_model() if model is None else model) as file:
        recognised = recognise(file)
        return recognised if isinstance(recognised, str) else None


def _modalities(encoders: Encoders) -> tuple[str, ...]:
    present = {"image": encoders.vision, "audio": encoders.audio}
    return tuple(modality for modality, where in present.items() if where is not None)


def _digest(description: ModelDescription) -> str:
    """A hash of what the file says about itself; the weights are not read for it."""
    said = (description.size, description.model_type, dict(description.properties), description.sections)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _encoder_backend(
    kind: str, asked: EncoderBackend, auto: str, description: ModelDescription
) -> str | None:
    """Where an encoder runs; None when it is off or the model has none."""
    present = MODALITY_OF[kind] in description.modalities
    if asked == "off" or (asked == "auto" and not present):
        return None
    if not present:
        raise ModalityUnavailable(
            f"{description.path} has no {kind} encoder, but {kind}_backend={asked!r} asks for one",
            modality=MODALITY_OF[kind],
            hint=f"Leave {kind}_backend out, or use a model that has one.",
        )
    return auto if asked == "auto" else asked


def _model_sampler(description: ModelDescription) -> Sampler:
    """The model's defaults, with every field set."""
    said = description.sampler
    if said is None:
        return FALLBACK_SAMPLER
    if said.kind == "greedy":
        return Sampler(temperature=0.0, top_k=1, top_p=1.0, min_p=0.0, seed=0)
    fallback = FALLBACK_SAMPLER
    return Sampler(
        temperature=fallback.temperature if said.temperature is None else _short(said.temperature),
        top_k=said.top_k or fallback.top_k,
        top_p=_short(said.top_p) if said.top_p is not None and said.kind == "top_p" else 1.0,
        min_p=fallback.min_p,
        seed=said.seed or 0,
    )


def _short(value: float) -> float:
    """A 32-bit float as a person would write it: 0.95, not 0.949999988079071."""
    return float(f"{value:.6g}")


def _cache_dir(asked: str | os.PathLike[str] | None) -> str | None:
    """The folder for weight caches, made if needed; None: none can or should be kept."""
    if asked is not None and os.fspath(asked) == "off":
        return None
    folder = cache_folder() if asked is None else Path(asked).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if usable:
        return str(folder)
    if asked is None:
        return None  # a read-only device works without
    raise OptionError(
        f"cache_dir is not a writable folder: {folder}", hint="Name another one, or cache_dir='off'."
    )
