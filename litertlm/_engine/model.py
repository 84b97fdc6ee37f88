"""What must be known of a model beside the engine that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from litertlm._engine.seam import EngineInfo
from litertlm.options import Sampler

__all__ = ["KnowsItsModel", "ModelFacts", "facts_from"]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as a client needs to know it.

    Attributes:
        path: The model file, or a name.
        model_type: Its family.
        modalities: What a message may hold: ``"text"``, ``"image"``, ``"audio"``.
        control_tokens: Texts that its tokenizer turns into control tokens.
        sampler: Its defaults, every field set.
        supports_thinking: Whether it has a thinking channel.
        supports_tools: Whether it can call tools.
        chat_template: Its chat template, "" when unknown.
        digest: Tells it from other models of its family, "" when unknown.
    """

    path: str
    model_type: str
    modalities: tuple[str, ...]
    control_tokens: tuple[str, ...]
    sampler: Sampler
    supports_thinking: bool
    supports_tools: bool
    chat_template: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Its file's, without folder and suffix."""
        return Path(self.path).stem


@runtime_checkable
class KnowsItsModel(Protocol):
    """An engine that was opened without a model file, and says itself what it runs."""

    @property
    def model(self) -> ModelFacts:
        """The model that it runs."""
        ...


def facts_from(info: EngineInfo, sampler: Sampler) -> ModelFacts:
    """What can be told of the model of an engine that says nothing about it."""
    modalities = ["text"]
    if info.vision_backend:
        modalities.append("image")
    if info.audio_backend:
        modalities.append("audio")
    return ModelFacts(
        path="",
        model_type="",
        modalities=tuple(modalities),
        control_tokens=(),
        sampler=sampler,
        supports_thinking=False,
        supports_tools=True,
    )
