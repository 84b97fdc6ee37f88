"""From an open file to its description: every section verified, and the parts fitted together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from litertlm.modelfile import metadata as meta
from litertlm.modelfile.checks import (
    DECODER,
    check_executor,
    check_graphs,
    check_layout,
    check_metadata,
    check_sections,
    image_lengths,
    section_name,
)
from litertlm.modelfile.container import Container, read_container
from litertlm.modelfile.description import Modality, ModelDescription, Section
from litertlm.modelfile.protobuf import Message, Schema, parse
from litertlm.modelfile.schema import EXECUTOR_METADATA, LLM_METADATA
from litertlm.modelfile.source import FileRange, refuse
from litertlm.modelfile.tflite import Graphs, read_graphs
from litertlm.modelfile.tokenizer import check_hf_tokenizer, check_sp_tokenizer

__all__ = ["verify"]

_MOST_METADATA = 16 << 20


def verify(descriptor: int, size: int, path: str) -> ModelDescription:
    """Verify an open file and describe it.

    Args:
        descriptor: Opened for reading; stays the caller's.
        size: Length of the file in bytes.
        path: For the description.

    Raises:
        ModelFileError: The file is not a whole, well-formed language model. Its ``path`` is not set.
        ModelLayoutError: It is, but of a layout that no engine here runs.
    """
    container = read_container(descriptor, size)
    check_sections(container.sections)
    ranges = {
        number: FileRange(descriptor, section.begin, section.end, name=section_name(number, section))
        for number, section in enumerate(container.sections)
    }
    metadata = _read_metadata(container, ranges, "llm_metadata", LLM_METADATA)
    graphs: dict[str, Graphs] = {}
    for number, section in enumerate(container.sections):
        if section.kind == "tflite_model":
            graphs[section.model_type] = read_graphs(ranges[number])
            _check_padding(descriptor, size, ranges[number])
        elif section.kind == "llm_metadata":
            check_metadata(metadata, number, section)
    executor = _read_metadata(container, ranges, "executor_metadata", EXECUTOR_METADATA)
    for number, section in enumerate(container.sections):
        if section.kind == "executor_metadata":
            check_layout(graphs[DECODER], *_decoder(container))
            check_executor(executor, graphs[DECODER], number, section)
    check_graphs(graphs, metadata)
    tokenizer = _check_tokenizers(container, ranges, metadata)
    return _describe(container, path, size, metadata, graphs, tokenizer, _context(metadata, executor, graphs))


def _decoder(container: Container) -> tuple[int, Section]:
    """The number and the section of the language model."""
    return next(
        (number, section)
        for number, section in enumerate(container.sections)
        if section.kind == "tflite_model" and section.model_type == DECODER
    )


def _read_metadata(
    container: Container, ranges: Mapping[int, FileRange], kind: str, schema: Schema
) -> Message:
    for number, section in enumerate(container.sections):
        if section.kind == kind:
            source = ranges[number]
            if source.size > _MOST_METADATA:
                refuse(source.name, section.begin, section.end, f"is larger than {_MOST_METADATA} bytes")
            return parse(source.read(0, source.size), schema, name=source.name, base=source.base)
    return {}


def _check_padding(descriptor: int, size: int, section: FileRange) -> None:
    """Refuse graphs that go on after their end; what follows up to the next section is zeros.

    The end of the other kinds of sections shows from within.
    """
    end = section.base + section.size
    padding = FileRange(descriptor, end, min(size, -(-end // 16384) * 16384), name="padding")
    data = padding.read(0, padding.size)
    if data.strip(b"\0"):
        at = end + len(data) - len(data.lstrip(b"\0"))
        refuse(section.name, at, at + 1, f"data goes on after the section's end at {end}")


def _check_tokenizers(
    container: Container, ranges: Mapping[int, FileRange], metadata: Message
) -> Literal["huggingface", "sentencepiece"]:
    """Verify the tokenizers; the language model's must have the padding token, as one token."""
    pad = metadata.get("pad_token", {}).get("token_str", "")
    sought = pad if len(pad) > 2 and pad.isascii() and pad.isprintable() and " " not in pad else ""
    found: Literal["huggingface", "sentencepiece"] = "huggingface"
    for number, section in enumerate(container.sections):
        if section.kind not in ("hf_tokenizer", "sp_tokenizer"):
            continue
        check = check_hf_tokenizer if section.kind == "hf_tokenizer" else check_sp_tokenizer
        spelled = check(ranges[number], sought)
        if section.model_type in ("", DECODER):
            found = "huggingface" if section.kind == "hf_tokenizer" else "sentencepiece"
            if sought and not spelled:
                problem = f"the metadata's padding token {pad!r} is not in it"
                refuse(ranges[number].name, section.begin, section.end, problem)
    return found


def _context(metadata: Message, executor: Message, graphs: Mapping[str, Graphs]) -> int | None:
    """Return the context length: what the metadata says, but not more than the KV cache has."""
    said = metadata.get("max_num_tokens") or None
    decode = graphs[DECODER].signatures.get("decode")
    if decode is None:
        return said
    lengths = [
        decode.inputs[buffer["decode_input_name"]][buffer["sequence_axis"]]
        for buffer in executor.get("llm_executor_metadata", {}).get("state_buffers", ())
        if buffer["type"] in (1, 2)
    ]
    lengths += [shape[-1] for name, shape in decode.inputs.items() if name == "mask" and shape]
    fixed = [length for length in lengths if length > 1]
    return min([*fixed, *([said] if said else [])], default=None)


def _image_tokens(metadata: Message, graphs: Mapping[str, Graphs]) -> int | None:
    """Return the most tokens of an image: what the metadata says, else what the encoder makes."""
    lengths = image_lengths(graphs)
    return (meta.image_tokens(metadata) or max(lengths)) if lengths else None


def _describe(
    container: Container,
    path: str,
    size: int,
    metadata: Message,
    graphs: Mapping[str, Graphs],
    tokenizer: Literal["huggingface", "sentencepiece"],
    max_context: int | None,
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
        max_context=max_context,
        chat_template=metadata.get("jinja_prompt_template", ""),
        sampler=meta.sampler(metadata),
        start_token=meta.token(metadata.get("start_token")),
        stop_tokens=tuple(stop for stop in stop_tokens if stop),
        supports_thinking=meta.supports_thinking(metadata),
        supports_tools=meta.supports_tools(metadata),
        channels=meta.channels(metadata),
        tokenizer=tokenizer,
        max_image_tokens=_image_tokens(metadata, graphs),
        min_runtime_version=metadata.get("min_runtime_version", ""),
        properties=container.properties,
    )
