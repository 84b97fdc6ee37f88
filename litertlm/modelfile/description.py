"""What is said about a model file: frozen values without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = ["Modality", "ModelDescription", "SamplerDefaults", "Section", "Token"]

Modality: TypeAlias = Literal["text", "image", "audio"]

Token: TypeAlias = "str | tuple[int, ...]"
"""A token of the metadata: its text, or the ids it consists of."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the container.

    Attributes:
        kind: ``"tflite_model"``, ``"tflite_weights"``, ``"hf_tokenizer"``, ``"sp_tokenizer"``,
            ``"llm_metadata"``, ``"executor_metadata"``, ``"embedding_metadata"``, ``"tts_metadata"``,
            ``"asr_metadata"`` or ``"generic"``.
        model_type: Which model of the file it is or belongs to, for example ``"tf_lite_prefill_decode"``; ""
            for none.
        begin: Position of its first byte in the file.
        end: Position after its last byte.
        attributes: All that the section table says about it, ``model_type`` included.
    """

    kind: str
    model_type: str
    begin: int
    end: int
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class SamplerDefaults:
    """How the model's maker wants it sampled; None where the file does not say."""

    kind: Literal["top_k", "top_p", "greedy"]
    top_k: int | None = None
    top_p: float | None = None
    temperature: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model file says about itself.

    Attributes:
        path: The file, as it was named.
        size: Length in bytes.
        version: Container version: major, minor, patch.
        model_type: Family of the model, for example ``"gemma4"``, ``"qwen3"`` or ``"generic_model"``.
        sections: The sections, in the order of the section table.
        modalities: What the model takes: ``"text"``; ``"image"`` and ``"audio"`` if it has their encoders.
        max_context: Context length in tokens, None when the file does not say.
        chat_template: Jinja template of the conversation, "" when there is none.
        sampler: Sampler defaults, None when there are none.
        start_token: Token before every conversation, None for none.
        stop_tokens: Tokens that end a reply.
        supports_thinking: Whether the model has a thinking channel.
        supports_tools: Whether the model can call tools.
        channels: Names of its channels besides the answer, for example ``("thought",)``.
        tokenizer: Kind of its tokenizer.
        max_image_tokens: The most context tokens that one image takes, None when unknown or without images.
        min_runtime_version: Oldest engine that the model's maker names, "" when none is named.
        properties: What the header says about the whole file: authors, uuid, creation_timestamp and so on.
    """

    path: str
    size: int
    version: tuple[int, int, int]
    model_type: str
    sections: tuple[Section, ...]
    modalities: tuple[Modality, ...]
    max_context: int | None
    chat_template: str
    sampler: SamplerDefaults | None
    start_token: Token | None
    stop_tokens: tuple[Token, ...]
    supports_thinking: bool
    supports_tools: bool
    channels: tuple[str, ...]
    tokenizer: Literal["huggingface", "sentencepiece"]
    max_image_tokens: int | None
    min_runtime_version: str = ""
    properties: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))

    def section(self, kind: str, model_type: str = "") -> Section | None:
        """Return the section of that kind and model type, None when there is none."""
        for section in self.sections:
            if section.kind == kind and section.model_type == model_type:
                return section
        return None
