"""From an open file to its description: every section verified, and the parts fitted together."""

from __future__ import annotations

from typing import Literal, NoReturn

from ..errors import ModelFileError
from . import metadata as meta
from .container import Container, read_container
from .description import Modality, ModelDescription, Section
from .protobuf import Message, Schema, parse
from .source import FileRange, place
from .tflite import Graphs, read_graphs
from .tokenizer import check_hf_tokenizer, check_sp_tokenizer

__all__ = ["verify"]

_MOST_METADATA = 16 << 20
_DAMAGED = "The file is damaged: download it again."

_MODEL_TYPES = frozenset(
    f"tf_lite_{name}"
    for name in (
        "prefill_decode",
        "embedder",
        "per_layer_embedder",
        "aux",
        "audio_encoder_hw",
        "end_of_audio",
        "vision_adapter",
        "vision_encoder",
        "audio_frontend",
        "audio_adapter",
        "artisan_text_decoder",
        "end_of_vision",
        "mtp_drafter",
        "mtp_aux",
        "text_encoder",
    )
)

# What cannot do without what.
_TOGETHER = (
    ("tf_lite_vision_encoder", "tf_lite_vision_adapter"),
    ("tf_lite_vision_adapter", "tf_lite_vision_encoder"),
    ("tf_lite_audio_encoder_hw", "tf_lite_audio_adapter"),
    ("tf_lite_audio_adapter", "tf_lite_audio_encoder_hw"),
    ("tf_lite_end_of_vision", "tf_lite_vision_encoder"),
    ("tf_lite_end_of_audio", "tf_lite_audio_encoder_hw"),
)


def verify(descriptor: int, size: int, path: str) -> ModelDescription:
    """Verify an open file and describe it.

    Args:
        descriptor: Opened for reading; stays the caller's.
        size: Length of the file in bytes.
        path: For the description.

    Raises:
        ModelFileError: The file is not a whole, well-formed language model. Its ``path`` is not set.
    """
    container = read_container(descriptor, size)
    _check_table(container)
    ranges = [
        FileRange(descriptor, section.begin, section.end, name=_name(number, section))
        for number, section in enumerate(container.sections)
    ]
    metadata: Message = {}
    executor: Message = {}
    graphs: dict[str, Graphs] = {}
    tokenizer: Literal["huggingface", "sentencepiece"] = "huggingface"
    for section, source in zip(container.sections, ranges, strict=True):
        if section.kind == "hf_tokenizer":
            check_hf_tokenizer(source, section)
        elif section.kind == "sp_tokenizer":
            check_sp_tokenizer(source, section)
            tokenizer = "sentencepiece"
        elif section.kind == "llm_metadata":
            metadata = _read_metadata(source, meta.LLM_METADATA)
        elif section.kind == "executor_metadata":
            executor = _read_metadata(source, meta.EXECUTOR_METADATA)
        elif section.kind == "tflite_model":
            graphs[section.model_type] = read_graphs(source)
    return _describe(container, path, size, metadata, executor, graphs, tokenizer)


def _check_table(container: Container) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, section in enumerate(container.sections):
        if section.kind in ("tflite_model", "tflite_weights") and section.model_type not in _MODEL_TYPES:
            _refuse(number, section, f"its model_type {section.model_type!r} is unknown")
        if section.kind != "generic":
            first = seen.setdefault((section.kind, section.model_type), number)
            if first != number:
                _refuse(number, section, f"is there twice, it is section {first} already")
    models = {section.model_type for section in container.sections if section.kind == "tflite_model"}
    kinds = {section.kind for section in container.sections}
    if "llm_metadata" not in kinds:
        if "embedding_metadata" in kinds:
            _missing("is an embedding model, not a language model")
        _missing("has no metadata section (llm_metadata)")
    if "tf_lite_prefill_decode" not in models:
        _missing("has no language model section (tf_lite_prefill_decode)")
    if not kinds & {"hf_tokenizer", "sp_tokenizer"}:
        _missing("has no tokenizer section")
    for one, other in _TOGETHER:
        if one in models and other not in models:
            _missing(f"has a section {one} without {other}")


def _read_metadata(source: FileRange, schema: Schema) -> Message:
    if source.size > _MOST_METADATA:
        where = place(source.name, source.base, source.base + source.size)
        raise ModelFileError(f"is larger than {_MOST_METADATA} bytes", place=where, hint=_DAMAGED)
    return parse(source.read(0, source.size), schema, name=source.name, base=source.base)


def _describe(
    container: Container,
    path: str,
    size: int,
    metadata: Message,
    executor: Message,
    graphs: dict[str, Graphs],
    tokenizer: Literal["huggingface", "sentencepiece"],
) -> ModelDescription:
    modalities: list[Modality] = ["text"]
    if "tf_lite_vision_encoder" in graphs:
        modalities.append("image")
    if "tf_lite_audio_encoder_hw" in graphs:
        modalities.append("audio")
    stop_tokens = (meta.token(union) for union in metadata.get("stop_tokens", ()))
    return ModelDescription(
        path=path,
        size=size,
        version=container.version,
        model_type=meta.family(metadata)[0],
        sections=container.sections,
        modalities=tuple(modalities),
        max_context=metadata.get("max_num_tokens") or None,
        chat_template=metadata.get("jinja_prompt_template", ""),
        sampler=meta.sampler(metadata),
        start_token=meta.token(metadata.get("start_token")),
        stop_tokens=tuple(stop for stop in stop_tokens if stop is not None),
        supports_thinking=meta.supports_thinking(metadata),
        supports_tools=meta.supports_tools(metadata),
        channels=meta.channels(metadata),
        tokenizer=tokenizer,
        max_image_tokens=meta.image_tokens(metadata) if "image" in modalities else None,
        min_runtime_version=metadata.get("min_runtime_version", ""),
        properties=container.properties,
    )


def _name(number: int, section: Section) -> str:
    return f"section {number} ({section.model_type or section.kind})"


def _refuse(number: int, section: Section, problem: str) -> NoReturn:
    where = place(_name(number, section), section.begin, section.end)
    raise ModelFileError(problem, place=where, hint=_DAMAGED)


def _missing(problem: str) -> NoReturn:
    raise ModelFileError(problem, place="header, section table")
