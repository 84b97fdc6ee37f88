"""What a client really uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from litertlm._engine.model import ModelFacts
from litertlm.options import Sampler

if TYPE_CHECKING:
    from litertlm._engine.seam import EngineInfo

__all__ = ["ClientInfo", "info_of"]


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a client really uses.

    Attributes:
        path: The model file.
        model_type: The model's family, for example ``"gemma4"``.
        engine: Which engine runs it: ``"native"`` or ``"litert"``.
        engine_reason: Why that is not ``"native"``; None when it is.
        media_engine: Which engine chats go on with once they hold an image or a recording.
        library: The engine library's file.
        library_version: Its version.
        backend: Where the text model runs.
        vision_backend: Where images are encoded; None: nowhere.
        audio_backend: Where sound is encoded; None: nowhere.
        threads: CPU threads.
        max_context: Context length in tokens, None when the model does not say.
        modalities: What a message may hold: ``"text"``, ``"image"``, ``"audio"``.
        cache_dir: Where weight caches are kept, None when nowhere.
        sampler: How replies are sampled when nothing else is said.
        supports_thinking: Whether the model has a thinking channel.
        supports_tools: Whether the model can call tools.
    """

    path: str
    model_type: str
    engine: str
    engine_reason: str | None
    media_engine: str | None
    library: str
    library_version: str
    backend: str
    vision_backend: str | None
    audio_backend: str | None
    threads: int
    max_context: int | None
    modalities: tuple[str, ...]
    cache_dir: str | None
    sampler: Sampler
    supports_thinking: bool
    supports_tools: bool


def info_of(engine: EngineInfo, model: ModelFacts) -> ClientInfo:
    """What is told of an engine and of the model on it."""
    encodes = engine.vision_backend is not None or engine.audio_backend is not None
    return ClientInfo(
        path=model.path,
        model_type=model.model_type,
        engine=engine.engine,
        engine_reason=engine.reason,
        media_engine=engine.media_engine or (engine.engine if encodes else None),
        library=engine.library,
        library_version=engine.library_version,
        backend=engine.backend,
        vision_backend=engine.vision_backend,
        audio_backend=engine.audio_backend,
        threads=engine.threads,
        max_context=engine.max_context,
        modalities=model.modalities,
        cache_dir=engine.cache_dir,
        sampler=model.sampler,
        supports_thinking=model.supports_thinking,
        supports_tools=model.supports_tools,
    )
