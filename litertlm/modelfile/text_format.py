"""How to talk to a model: its tokenizer, chat template, channels and the fences of its tool calls.

For an engine that renders, tokenizes and parses itself; the official one reads all this on its own.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from litertlm.modelfile import metadata as meta
from litertlm.modelfile.checks import DECODER
from litertlm.modelfile.description import Section, Token
from litertlm.modelfile.model import ModelFile
from litertlm.modelfile.protobuf import Message, parse
from litertlm.modelfile.schema import LLM_METADATA
from litertlm.modelfile.source import FileRange

__all__ = ["Affixes", "Channel", "TextFormat", "read_text_format"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A part of a reply that is no answer, between two fences; ``end`` may be "" for none."""

    name: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Affixes:
    """What stands around the text of a role's messages in models without a chat template."""

    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class TextFormat:
    """What a model file says about text.

    Attributes:
        model_type: Family of the model, for example ``"gemma4"``.
        tokenizer_kind: How to read ``tokenizer``.
        tokenizer: ``tokenizer.json``, or a SentencePiece model, unpacked.
        chat_template: Jinja text, "" when there is none.
        affixes: By the role of the message: ``"system"``, ``"user"``, ``"model"``; empty when there are none.
        start_token: Token before every conversation, None for none.
        stop_tokens: Tokens that end a reply.
        suppressed_tokens: Ids that are never chosen.
        channels: In the file's order.
        settings: Of the model's family, by the names of the format's protobuf fields: fences, quotes and so
            on. What the file leaves out is not in it.
    """

    model_type: str
    tokenizer_kind: Literal["huggingface", "sentencepiece"]
    tokenizer: bytes
    chat_template: str
    affixes: Mapping[str, Affixes]
    start_token: Token | None
    stop_tokens: tuple[Token, ...]
    suppressed_tokens: tuple[int, ...]
    channels: tuple[Channel, ...]
    settings: Mapping[str, Any]


def read_text_format(file: ModelFile) -> TextFormat:
    """Read what a model file says about text.

    Args:
        file: An open model file, which has been verified.

    Raises:
        ModelFileError: The file has become shorter since.
    """
    description = file.description
    metadata: Message = {}
    tokenizer = b""
    descriptor = file.descriptor()
    try:
        for section in description.sections:
            if section.kind == "llm_metadata":
                metadata = parse(
                    _read(descriptor, section), LLM_METADATA, name="metadata", base=section.begin
                )
            elif section.kind in ("hf_tokenizer", "sp_tokenizer") and section.model_type in ("", DECODER):
                tokenizer = _read(descriptor, section)
                if section.kind == "hf_tokenizer":
                    tokenizer = zlib.decompress(tokenizer[8:])  # after its raw size
    finally:
        os.close(descriptor)
    return TextFormat(
        model_type=description.model_type,
        tokenizer_kind=description.tokenizer,
        tokenizer=tokenizer,
        chat_template=description.chat_template,
        affixes={
            role: Affixes(affixes.get("prefix", ""), affixes.get("suffix", ""))
            for role, affixes in metadata.get("prompt_templates", {}).items()
        },
        start_token=description.start_token,
        stop_tokens=description.stop_tokens,
        suppressed_tokens=tuple(metadata.get("suppress_tokens", {}).get("ids", ())),
        channels=tuple(
            Channel(channel["channel_name"], channel.get("start", ""), channel.get("end", ""))
            for channel in metadata.get("channels", ())
        ),
        settings=dict(meta.family(metadata)[1]),
    )


def _read(descriptor: int, section: Section) -> bytes:
    return FileRange(descriptor, section.begin, section.end, name=section.kind).read(0, section.size)
