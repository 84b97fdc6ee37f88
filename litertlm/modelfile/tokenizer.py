"""The tokenizer section: is it whole, and is it a tokenizer at all.

A HuggingFace tokenizer is a u64 with its raw size and a zlib stream of ``tokenizer.json``. The stream's own
checksum covers all of it, so it is unpacked once, piece by piece, and kept only if it is small enough to be
parsed too. A SentencePiece tokenizer is a bare protobuf message of pieces, with no checksum.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import NoReturn

from ..errors import ModelFileError
from .description import Section
from .protobuf import wire_fields
from .source import FileRange, place

__all__ = ["check_hf_tokenizer", "check_sp_tokenizer"]

MOST_RAW = 256 << 20
"""The largest tokenizer accepted, in bytes once unpacked."""

_PARSED = 2 << 20  # up to this size the JSON is parsed as well: 20 ms at most
_CHUNK = 256 << 10
_DAMAGED = "The file is damaged: download it again."


def check_hf_tokenizer(source: FileRange, section: Section) -> None:
    """Verify a zlib-packed ``tokenizer.json``.

    Raises:
        ModelFileError: It does not unpack to what it declares, or is no tokenizer.
    """
    if source.size <= 16:
        _refuse(source, 0, source.size, "is too short for a tokenizer")
    declared: int = struct.unpack("<Q", source.read(0, 8))[0]
    if not 2 <= declared <= MOST_RAW:
        _refuse(source, 0, 8, f"raw size {declared} is impossible, at most {MOST_RAW} bytes are allowed")
    unpacker = zlib.decompressobj()
    position, size, keep = 8, 0, declared <= _PARSED
    kept = bytearray()
    edge = b""
    while position < source.size and not unpacker.eof:
        end = min(position + _CHUNK, source.size)
        packed = source.read(position, end)
        while packed and not unpacker.eof:
            try:
                raw = unpacker.decompress(packed, _CHUNK)
            except zlib.error as error:
                _refuse(source, position, end, f"does not unpack ({error})")
            packed = unpacker.unconsumed_tail
            size += len(raw)
            if size > declared:
                _refuse(source, 0, 8, f"unpacks to more than the {declared} bytes it declares")
            if keep:
                kept += raw
            else:
                kept = kept or bytearray(raw[:64])
                edge = (edge + raw)[-64:]
        position = end
    while not unpacker.eof:  # a last piece of output can remain after all input is taken
        raw = unpacker.decompress(b"", _CHUNK)
        if not raw:
            _refuse(source, 8, source.size, "is cut: its packed data does not end")
        size += len(raw)
        if size > declared:
            _refuse(source, 0, 8, f"unpacks to more than the {declared} bytes it declares")
        kept += raw if keep else b""
        edge = (edge + raw)[-64:]
    if size != declared:
        _refuse(source, 0, 8, f"unpacks to {size} bytes, but declares {declared}")
    if unpacker.unused_data or position < source.size:
        _refuse(source, 8, source.size, "has bytes after its packed data")
    if keep:
        _check_json(bytes(kept), source)
    elif not kept.lstrip().startswith(b"{") or not edge.rstrip().endswith(b"}"):
        _refuse(source, 8, source.size, "is not a JSON object")


def check_sp_tokenizer(source: FileRange, section: Section) -> None:
    """Verify a SentencePiece model: pieces, each a message of its own.

    Raises:
        ModelFileError: It is not well-formed, or has no pieces.
    """
    if source.size > MOST_RAW:
        _refuse(source, 0, source.size, f"is larger than {MOST_RAW} bytes")
    data = source.read(0, source.size)
    position = _skip_pieces(data)
    pieces = position > 0
    for number, wire, _, _, _ in wire_fields(data[position:], name=source.name, base=source.base + position):
        if number == 1 and wire == 2:
            pieces = True
    if not pieces:
        _refuse(source, 0, source.size, "has no pieces")


def _skip_pieces(data: bytes) -> int:
    """Return where the run of short pieces that a model begins with ends.

    There are up to 262,144 of them; the general reader takes 1 us for each, this loop 0.1 us.
    """
    position, size = 0, len(data) - 1
    while position < size and data[position] == 0x0A and data[position + 1] < 0x80:
        following = position + 2 + data[position + 1]
        if following > size + 1:
            break
        position = following
    return position


def _check_json(raw: bytes, source: FileRange) -> None:
    try:
        tokenizer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        _refuse(source, 8, source.size, f"is not JSON ({error})")
    if not isinstance(tokenizer, dict) or not isinstance(tokenizer.get("model"), dict):
        _refuse(source, 8, source.size, "is JSON, but has no tokenizer model in it")


def _refuse(source: FileRange, begin: int, end: int, problem: str) -> NoReturn:
    raise ModelFileError(
        problem, place=place(source.name, source.base + begin, source.base + end), hint=_DAMAGED
    )
