"""Model files made of the bundled model's graphs, with another family, template or tokenizer."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from litertlm.bundled import bundled_model
from litertlm.modelfile import open_model
from litertlm.modelfile.protobuf import Field, Schema
from litertlm.modelfile.schema import LLM_METADATA

from ..modelfile.containers import Part, container, item, proto

KEPT = ("executor_metadata", "tflite_model")
MODELS = ("tf_lite_prefill_decode", "tf_lite_embedder")


def write_variant(path: Path, metadata: Mapping[str, object], tokenizer: bytes = b"", kind: str = "") -> Path:
    """Write a model file with the bundled weights.

    Args:
        path: Where to.
        metadata: By the names of the format's fields; messages as dicts, lists for repeated ones.
        tokenizer: ``tokenizer.json`` or a SentencePiece model instead of the bundled one.
        kind: ``"hf_tokenizer"`` or ``"sp_tokenizer"``.
    """
    base = {
        "start_token": {"token_str": "<bos>"},
        "stop_tokens": [{"token_ids": {"ids": [1]}}, {"token_ids": {"ids": [11]}}],
        "max_num_tokens": 2048,
    }
    parts = [Part("llm_metadata", encode({**base, **metadata}, LLM_METADATA))]
    with open_model(bundled_model()) as file:
        descriptor = file.descriptor()
        for section in file.description.sections:
            data = os.pread(descriptor, section.size, section.begin)
            if section.kind in KEPT and section.model_type in ("", *MODELS):
                items = [item(key, value) for key, value in section.attributes.items() if key != "model_type"]
                parts.append(Part(section.kind, data, section.model_type, items=items))
            elif section.kind == "hf_tokenizer" and not tokenizer:
                parts.append(Part(section.kind, data))
        os.close(descriptor)
    if tokenizer:
        packed = struct.pack("<Q", len(tokenizer)) + zlib.compress(tokenizer)
        parts.append(Part(kind, packed if kind == "hf_tokenizer" else tokenizer))
    path.write_bytes(container(parts))
    return path


def encode(message: Mapping[str, object], schema: Schema) -> bytes:
    """A protobuf message, by the names of its fields."""
    numbers = {field.name: (number, field) for number, field in schema.items()}
    out: list[tuple[int, int | float | str | bytes]] = []
    for name, value in message.items():
        number, field = numbers[name]
        for each in value if isinstance(value, list) else [value]:
            out.append((number, _value(each, field)))
    return proto(*out)


def _value(value: object, field: Field) -> int | float | str | bytes:
    if isinstance(value, Mapping):
        assert field.schema is not None
        return encode(value, field.schema)
    assert isinstance(value, int | float | str | bytes)
    return int(value) if isinstance(value, bool) else value
