"""The tokenizer section: is it whole, and is it a tokenizer at all.

A HuggingFace tokenizer is a u64 with its raw size and a zlib stream of ``tokenizer.json``. The stream's own
checksum covers all of it, so it is unpacked once, piece by piece, and kept only if it is small enough to be
parsed too. A SentencePiece tokenizer is a bare protobuf message of pieces, with no checksum.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NoReturn

from litertlm.modelfile.protobuf import Field, Schema, parse, wire_fields
from litertlm.modelfile.source import FileRange, refuse

__all__ = ["check_hf_tokenizer", "check_sp_tokenizer"]

MOST_RAW = 256 << 20
"""The largest tokenizer accepted, in bytes once unpacked."""

_PARSED = 2 << 20  # up to this size the JSON is parsed as well, which takes 20 ms at most
_STEP = 1 << 20

# A SentencePiece piece: its text, its score, and its type if that is not normal.
_PIECE: Schema = {1: Field("piece", "string"), 2: Field("score", "float"), 3: Field("type", "enum")}
_NORMAL, _UNKNOWN, _BYTE = 1, 2, 6
_BYTE_PIECE = re.compile(rb"<0x[0-9A-F]{2}>")


def check_hf_tokenizer(source: FileRange, token: str = "") -> bool:
    """Verify a packed ``tokenizer.json``.

    Args:
        source: The section.
        token: A token to look for, of ASCII characters.

    Returns:
        Whether the token is spelled out in it.

    Raises:
        ModelFileError: It does not unpack to what it declares, or is no tokenizer.
    """
    if source.size <= 16:
        _refuse(source, "is too short for a tokenizer")
    declared: int = struct.unpack("<Q", source.read(0, 8))[0]
    if not 2 <= declared <= MOST_RAW:
        _refuse(source, f"raw size {declared} is impossible, at most {MOST_RAW} bytes are allowed", 0, 8)
    sought = json.dumps(token).encode("ascii")
    found = not token
    kept, last = bytearray(), b""
    for raw in _unpack(source, declared):
        found = found or sought in last + raw
        last = raw[-max(64, len(sought)) :]
        if declared <= _PARSED or not kept:
            kept += raw
    if declared <= _PARSED:
        _check_json(bytes(kept), source)
    elif not kept.lstrip().startswith(b"{") or not last.rstrip().endswith(b"}"):
        _refuse(source, "is not a JSON object", 8)
    return found


def check_sp_tokenizer(source: FileRange, token: str = "") -> bool:
    """Verify a SentencePiece model and its pieces. Otherwise as :func:`check_hf_tokenizer`."""
    if source.size > MOST_RAW:
        _refuse(source, f"is larger than {MOST_RAW} bytes")
    data = source.read(0, source.size)
    texts, kinds, position = _common_pieces(data)
    rest = data[position:]
    for number, wire, value, begin, end in wire_fields(rest, name=source.name, base=source.base + position):
        inner = source.base + position + end - (len(value) if wire == 2 else 0)
        if number == 1:
            if wire != 2:
                _refuse(source, "a piece is not a message", position + begin, position + end)
            piece = parse(value, _PIECE, name=source.name, base=inner, what=f"piece {len(texts)}")
            texts.append(piece.get("piece", "").encode())
            kinds.append(piece.get("type", _NORMAL))
        elif wire == 2 and number <= 5:  # trainer, normalizer, self-test and denormalizer settings
            for _ in wire_fields(value, name=source.name, base=inner):
                pass
    _check_pieces(texts, kinds, source)
    return token.encode("ascii") in texts


def _unpack(source: FileRange, declared: int) -> Iterator[bytes]:
    """Yield what the packed data of a section unpacks to; refuse it if that is not what it declares."""
    unpacker = zlib.decompressobj()
    position, packed, size = 8, b"", 0
    while not unpacker.eof:
        if not packed and position < source.size:
            end = min(position + _STEP, source.size)
            packed, position = source.read(position, end), end
        try:
            raw = unpacker.decompress(packed, _STEP)
        except zlib.error as error:
            _refuse(source, f"does not unpack ({error})", 8)
        if not raw and not packed and not unpacker.eof:
            _refuse(source, "is cut: its packed data does not end", 8)
        packed = unpacker.unconsumed_tail
        size += len(raw)
        if size > declared:
            _refuse(source, f"unpacks to more than the {declared} bytes it declares", 0, 8)
        yield raw
    if size != declared:
        _refuse(source, f"unpacks to {size} bytes, but declares {declared}", 0, 8)
    if unpacker.unused_data or position < source.size:
        _refuse(source, "has bytes after its packed data", 8)


def _common_pieces(data: bytes) -> tuple[list[bytes], list[int], int]:
    """Read the pieces that a model begins with, as long as they are of the usual form; see `_PIECE`.

    There are up to 262,144 of them, for which the general reader is ten times too slow.

    Returns:
        Their texts, their types, and where the next one begins.
    """
    texts, kinds = [], []
    position, size = 0, len(data)
    while position + 4 < size and data[position] == 0x0A:
        length, count = data[position + 1], data[position + 3]
        text_end = position + 4 + count
        end = position + 2 + length
        if length > 0x7F or count > 0x7F or data[position + 2] != 0x0A or end > size:
            break
        if end - text_end == 5 and data[text_end] == 0x15:  # a text and a score
            kinds.append(_NORMAL)
        elif end - text_end == 7 and data[text_end] == 0x15 and data[text_end + 5] == 0x18:  # and a type
            kinds.append(data[text_end + 6])
        else:
            break
        texts.append(data[position + 4 : text_end])
        position = end
    return texts, kinds, position


def _check_pieces(texts: list[bytes], kinds: list[int], source: FileRange) -> None:
    """Refuse pieces that the engine refuses without a place; one with a NUL in it ends the process."""
    if not texts:
        _refuse(source, "has no pieces")
    if kinds.count(_UNKNOWN) != 1:
        _refuse(source, f"has {kinds.count(_UNKNOWN)} unknown pieces, not one")
    whole = b"\n".join(texts)
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(source, f"piece {_piece_at(texts, error.start)} is not UTF-8")
    if 0 in whole:
        _refuse(source, f"piece {_piece_at(texts, whole.index(0))} has a NUL character in it")
    if b"" in texts:
        _refuse(source, f"piece {texts.index(b'')} is empty")
    if len(set(texts)) != len(texts):
        _refuse(source, "has a piece twice")
    strange = set(kinds) - set(range(_NORMAL, _BYTE + 1))
    if strange:
        kind = strange.pop()
        _refuse(source, f"piece {kinds.index(kind)} is of the unknown type {kind}")
    for number in [number for number, kind in enumerate(kinds) if kind == _BYTE]:
        if not _BYTE_PIECE.fullmatch(texts[number]):
            _refuse(source, f"piece {number} is not a byte")


def _piece_at(texts: list[bytes], offset: int) -> int:
    """Which piece is at an offset of the texts joined by one byte each."""
    for number, text in enumerate(texts):
        offset -= len(text) + 1
        if offset < 0:
            return number
    return len(texts)


def _check_json(raw: bytes, source: FileRange) -> None:
    try:
        tokenizer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        _refuse(source, f"is not JSON ({error})", 8)
    if not isinstance(tokenizer, dict) or not isinstance(tokenizer.get("model"), dict):
        _refuse(source, "is JSON, but has no tokenizer model in it", 8)


def _refuse(source: FileRange, problem: str, begin: int = 0, end: int | None = None) -> NoReturn:
    refuse(source.name, source.base + begin, source.base + (source.size if end is None else end), problem)
