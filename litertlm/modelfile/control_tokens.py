"""Which strings a model's tokenizer turns into control tokens.

Text from users must not contain them. The tokenizer has been verified by the time this is read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator

from litertlm.modelfile.model import ModelFile

__all__ = ["read_control_tokens"]

# tokenizer.json puts "added_tokens" before the vocabulary; unpacking stops when it has been read whole.
_STEP = 1 << 18
_KEY = b'"added_tokens"'

# SentencePiece piece types.
_CONTROL = 3
_USER_DEFINED = 4


def read_control_tokens(file: ModelFile) -> tuple[str, ...]:
    """The strings that stand for control tokens, sorted.

    Tokenizers also list ordinary strings as whole tokens (runs of blanks, HTML tags). Such a string counts
    only if the chat template uses it, since then it structures the conversation.

    Args:
        file: An open model file.
    """
    template = file.description.chat_template
    found: set[str] = set()
    for section in file.description.sections:
        if section.kind not in ("hf_tokenizer", "sp_tokenizer"):
            continue
        descriptor = file.descriptor()
        try:
            os.lseek(descriptor, section.begin, os.SEEK_SET)
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                data = opened.read(section.size)
        finally:
            os.close(descriptor)
        tokens = _added_tokens(data) if section.kind == "hf_tokenizer" else _pieces(data)
        found |= {text for text, special in tokens if special or (text.strip() and text in template)}
    return tuple(sorted(found))


def _added_tokens(section: bytes) -> Iterator[tuple[str, bool]]:
    """Text and special flag of the added tokens of a zlib-packed tokenizer.json."""
    unpacker = zlib.decompressobj()
    raw = b""
    packed = section[8:]
    while packed or not raw:
        piece = unpacker.decompress(packed, _STEP)
        packed = unpacker.unconsumed_tail
        raw += piece
        start = raw.find(_KEY)
        if start >= 0:
            listing = _whole_list(raw, raw.find(b"[", start))
            if listing is not None:
                yield from ((item["content"], bool(item.get("special"))) for item in listing)
                return
        if not piece:
            return


def _whole_list(raw: bytes, start: int) -> list[dict[str, str]] | None:
    """The JSON array at ``start``, None if its end has not been unpacked yet."""
    try:
        text = raw[start:].decode("utf-8", errors="ignore")
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    return value if isinstance(value, list) else None


def _pieces(section: bytes) -> Iterator[tuple[str, bool]]:
    """Text and control flag of the control and user-defined pieces of a SentencePiece model."""
    position = 0
    while position < len(section) and section[position] == 0x0A:
        size, position = _varint(section, position + 1)
        piece, position = section[position : position + size], position + size
        text, kind = _piece(piece)
        if kind in (_CONTROL, _USER_DEFINED):
            yield text, kind == _CONTROL


def _piece(piece: bytes) -> tuple[str, int]:
    """Field 1 (text) and field 3 (type, 1 when absent) of a piece."""
    text, kind, position = "", 1, 0
    while position < len(piece):
        tag, position = _varint(piece, position)
        if tag == 0x0A:
            size, position = _varint(piece, position)
            text = piece[position : position + size].decode("utf-8", errors="replace")
            position += size
        elif tag == 0x18:
            kind, position = _varint(piece, position)
        elif tag & 7 == 5:
            position += struct.calcsize("<f")
        else:
            break
    return text, kind


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A varint and the position after it."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, position
