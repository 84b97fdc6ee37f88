"""Whether a file goes on to the end that its own header announces.

Decoders are lenient: the engine, Pillow (when the application sets ``LOAD_TRUNCATED_IMAGES``) and libsndfile
make something of a file that was cut off. The containers say where they end, so that is checked here, on the
bytes alone. Formats not named below are left to their decoder.
"""

from __future__ import annotations

import struct

__all__ = ["jpeg_coding", "missing_part"]

_STREAMED = 0x7FFF_0000
"""A RIFF or AU size from here on was never filled in: ffmpeg, sox and arecord write such into pipes."""

_MP3_TOLERANCE = 0.01
"""Part of an MP3 stream that may be missing: encoders disagree on what the Xing tag counts, and mpg123 too
calls only more than 1 % wrong."""


def missing_part(data: bytes) -> str:
    """Say what is missing at the end of an image or audio file.

    Args:
        data: The whole file.

    Returns:
        What is missing, as the end of a sentence, or "" when the file is complete or does not say how long
        it is.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return "its end marker is missing" if _jpeg_scan(data)[1] is False else ""
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith((b"RIFF", b"RIFX", b"RF64")):
            return _riff(data)
        if data.startswith(b"FORM") and data[8:12] in (b"AIFF", b"AIFC"):
            return _announced(8 + struct.unpack_from(">I", data, 4)[0], len(data))
        if data.startswith(b".snd"):
            return _au(data)
        if data.startswith(b"caff"):
            return _caf(data)
        if data.startswith(b"riff\x2e\x91\xcf\x11"):  # Sony Wave64; the size covers the whole file
            return _announced(struct.unpack_from("<Q", data, 16)[0], len(data))
        if data.startswith(b"OggS"):
            return _ogg(data)
        if data.startswith(b"ID3") or (data[0] == 0xFF and data[1] & 0xE0 == 0xE0):
            return _mp3(data)
    except (struct.error, IndexError):
        return "its header is incomplete"
    return ""


def jpeg_coding(data: bytes) -> int:
    """Return the low byte of a JPEG's start-of-frame marker: 0xC0 baseline, 0xC2 progressive; 0: none."""
    return _jpeg_scan(data)[0]


def _announced(announced: int, there: int) -> str:
    return f"its header announces {announced} bytes, {there} are there" if announced > there else ""


def _jpeg_scan(data: bytes) -> tuple[int, bool | None]:
    """Find the coding of a JPEG, and whether it ends: ``None`` where the structure makes no sense.

    Inside compressed data 0xFF is always followed by 0 or a restart marker, so the first end marker after the
    first scan begins is the end. (Thumbnails, which have end markers of their own, come before it.)
    """
    coding = 0
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return coding, None
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            coding = marker
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:
            return coding, data.find(b"\xff\xd9", place) >= 0
    return coding, False


def _png(data: bytes) -> str:
    place = 8
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if kind == b"IEND":
            break
    else:
        return "its end chunk is missing"
    return _announced(place, len(data))


def _riff(data: bytes) -> str:
    order = ">" if data.startswith(b"RIFX") else "<"
    size: int = struct.unpack_from(order + "I", data, 4)[0]
    if data.startswith(b"RF64"):
        size = struct.unpack_from("<Q", data, 20)[0]  # the ds64 chunk, always first
    elif data[8:12] == b"WAVE":
        # Writers get the size of the whole wrong, for example in a stream; only that of the samples counts.
        place = 12
        while place + 8 <= len(data):
            kind, length = struct.unpack_from(order + "4sI", data, place)
            if kind == b"data":
                return _announced(place + 8 + length, len(data)) if length < _STREAMED else ""
            place += 8 + length + length % 2
        return ""
    return _announced(8 + size, len(data)) if size < _STREAMED or data.startswith(b"RF64") else ""


def _au(data: bytes) -> str:
    offset, length = struct.unpack_from(">II", data, 4)
    return _announced(offset + length, len(data)) if length < _STREAMED else ""


def _caf(data: bytes) -> str:
    place = 8
    while place + 12 <= len(data):
        kind, length = struct.unpack_from(">4sq", data, place)
        if kind == b"data" and length == -1:  # up to the end of the file
            return ""
        place += 12 + max(length, 0)
        if kind == b"data":
            return _announced(place, len(data))
    return _announced(place, len(data))


def _ogg(data: bytes) -> str:
    """RFC 3533: the last page of a stream is marked, and each page says how long it is."""
    page = data.rfind(b"OggS")
    flags, segments = data[page + 5], data[page + 26]
    end = page + 27 + segments + sum(data[page + 27 : page + 27 + segments])
    if end > len(data) or page + 27 + segments > len(data):
        return "its last page is incomplete"
    return "" if flags & 4 else "its last page is missing"


def _mp3(data: bytes) -> str:
    """Compare with the byte count in the Xing or Info tag, which most encoders write into the first frame."""
    place = 0
    if data.startswith(b"ID3"):
        a, b, c, d = data[6:10]
        place = 10 + (a << 21 | b << 14 | c << 7 | d)
    frame = data[place : place + 64]
    if len(frame) < 64 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return ""
    mpeg1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    tag = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    if frame[tag : tag + 4] not in (b"Xing", b"Info"):
        return ""
    flags = frame[tag + 7]
    if not flags & 2:
        return ""
    counter = tag + (12 if flags & 1 else 8)
    announced = int.from_bytes(frame[counter : counter + 4], "big")
    there = len(data) - place
    return _announced(announced, there) if there < announced * (1 - _MP3_TOLERANCE) else ""
