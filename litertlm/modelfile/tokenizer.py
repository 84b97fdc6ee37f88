"""The tokenizer section: is it whole, and is it a tokenizer at all.

A HuggingFace tokenizer is a u64 with its raw size and a zlib stream of ``tokenizer.json``. The stream's own
checksum covers all of it, so it is unpacked once, piece by piece, and kept only if it is small enough to be
parsed too. A SentencePiece tokenizer is a bare protobuf message of pieces, with no checksum.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import NoReturn

from litertlm.modelfile.protobuf import wire_fields
from litertlm.modelfile.source import FileRange, refuse

__all__ = ["check_hf_tokenizer", "check_sp_tokenizer"]

MOST_RAW = 256 << 20
"""The largest tokenizer accepted, in bytes once unpacked."""

_PARSED = 2 << 20  # up to this size the JSON is parsed as well, which takes 20 ms at most
_PIECE = 1 << 20


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
    """Verify a SentencePiece model: pieces, each a message of its own. Otherwise as `check_hf_tokenizer`."""
    if source.size > MOST_RAW:
        _refuse(source, f"is larger than {MOST_RAW} bytes")
    data = source.read(0, source.size)
    position = _skip_pieces(data)
    pieces = position > 0
    for number, wire, _, _, _ in wire_fields(data[position:], name=source.name, base=source.base + position):
        if number == 1 and wire == 2:
            pieces = True
    if not pieces:
        _refuse(source, "has no pieces")
    return token.encode("ascii") in data


def _unpack(source: FileRange, declared: int) -> Iterator[bytes]:
    """Yield what the packed data of a section unpacks to; refuse it if that is not what it declares."""
    unpacker = zlib.decompressobj()
    position, packed, size = 8, b"", 0
    while not unpacker.eof:
        if not packed and position < source.size:
            end = min(position + _PIECE, source.size)
            packed, position = source.read(position, end), end
        try:
            raw = unpacker.decompress(packed, _PIECE)
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


def _skip_pieces(data: bytes) -> int:
    """Return where the run of short pieces that a model begins with ends.

    There are up to 262,144 of them; the general reader takes 1 us for each, this loop 0.1 us.
    """
    position, last = 0, len(data) - 1
    while position < last and data[position] == 0x0A and data[position + 1] < 0x80:
        following = position + 2 + data[position + 1]
        if following > last + 1:
            break
        position = following
    return position


def _check_json(raw: bytes, source: FileRange) -> None:
    try:
        tokenizer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        _refuse(source, f"is not JSON ({error})", 8)
    if not isinstance(tokenizer, dict) or not isinstance(tokenizer.get("model"), dict):
        _refuse(source, "is JSON, but has no tokenizer model in it", 8)


def _refuse(source: FileRange, problem: str, begin: int = 0, end: int | None = None) -> NoReturn:
    refuse(source.name, source.base + begin, source.base + (source.size if end is None else end), problem)
