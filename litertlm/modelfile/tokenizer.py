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
from functools import cache
from typing import NoReturn

from litertlm.modelfile.protobuf import Field, Schema, parse, wire_fields
from litertlm.modelfile.source import FileRange, refuse

__all__ = ["check_hf_tokenizer", "check_sp_tokenizer"]

MOST_RAW = 256 << 20
"""The largest tokenizer accepted, in bytes once unpacked."""

_MOST_SP = 64 << 20
_MOST_FIELDS = 1 << 20
_PARSED = 2 << 20  # up to this size the JSON is parsed as well, which takes 20 ms at most
_STEP = 1 << 20

# A piece of a SentencePiece model. The engine aborts on one with a NUL in its text.
_PIECE: Schema = {1: Field("piece", "string"), 2: Field("score", "float"), 3: Field("type", "enum")}


@cache
def _usual_pieces() -> re.Pattern[bytes]:
    """Match pieces that are a text of up to 80 bytes, a score, and a type if it is not the normal one.

    A model has up to 262,144 of them; the general reader takes a second for that, this 0.05 s.
    """
    forms = b"|".join(
        re.escape(bytes([count + 2 + more]))
        + b"\\n"
        + re.escape(bytes([count]))
        + b"[^\\0]{%d}" % count
        + tail
        for count in range(1, 81)
        for more, tail in ((5, rb"\x15.{4}"), (7, rb"\x15.{4}\x18[\x01-\x06]"))
    )
    return re.compile(b"(?:\\n(?:" + forms + b")){1,1000}", re.DOTALL)


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
    if source.size > _MOST_SP:
        _refuse(source, f"is larger than {_MOST_SP} bytes")
    data = source.read(0, source.size)
    view, usual = memoryview(data), _usual_pieces()
    position, pieces, others = 0, False, 0
    while position < len(data):
        run = usual.match(data, position)
        if run is not None:
            position, pieces = run.end(), True
            continue
        fields = wire_fields(view[position:], name=source.name, base=source.base + position)
        number, wire, value, _, length = next(fields)
        pieces = pieces or number == 1
        if wire == 2 and number <= 5:
            _check_sp_field(source, number, value, position + length - len(value))
        others += 1
        if others > _MOST_FIELDS:
            _refuse(source, f"has more than {_MOST_FIELDS} unusual fields")
        position += length
    if not pieces:
        _refuse(source, "has no pieces")
    return token.encode("ascii") in data


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


def _check_sp_field(source: FileRange, number: int, value: bytes, begin: int) -> None:
    """Verify a piece of unusual form, or the settings of trainer, normalizer, self-test or denormalizer."""
    if number == 1:
        piece = parse(value, _PIECE, name=source.name, base=source.base + begin, what="piece")
        if not piece.get("piece"):
            _refuse(source, "a piece has no text", begin, begin + len(value) + 1)
        if not 1 <= piece.get("type", 1) <= 6:
            _refuse(source, f"a piece is of the unknown type {piece['type']}", begin, begin + len(value))
    else:
        for _ in wire_fields(value, name=source.name, base=source.base + begin):
            pass


def _check_json(raw: bytes, source: FileRange) -> None:
    try:
        tokenizer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        _refuse(source, f"is not JSON ({error})", 8)
    if not isinstance(tokenizer, dict) or not isinstance(tokenizer.get("model"), dict):
        _refuse(source, "is JSON, but has no tokenizer model in it", 8)


def _refuse(source: FileRange, problem: str, begin: int = 0, end: int | None = None) -> NoReturn:
    refuse(source.name, source.base + begin, source.base + (source.size if end is None else end), problem)
