"""MP3 streams whose own idea of their length is too short.

libsndfile believes the Xing tag in the first frame or, without one, multiplies the first frame's bit rate,
and reads no further. That loses most of a variable-rate stream without the tag, and all but the first of
several files put together, which text-to-speech services send. Counting the frames tells, and a new tag mends
it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["mp3_length", "with_true_length"]

# kbit/s by the header's index, of layer III; 0: free format or reserved, which are not followed
_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_HERTZ = (44100, 48000, 32000, 0)  # of MPEG 1
_HALVED = (2, 0, 1, 0)  # how often the above is halved, by version: 0 is MPEG 2.5, 2 MPEG 2, 3 MPEG 1
_TAGS = (b"Xing", b"Info")


def mp3_length(data: bytes) -> int:
    """Count the samples per channel of an MP3 stream by its frames; 0 if it is none."""
    samples = 0
    for start, end in _frames(data):
        if not _is_tag(data, start, end):
            samples += 1152 if _is_mpeg1(data, start) else 576
    return samples


def with_true_length(data: bytes) -> bytes:
    """Return an MP3 stream anew: its audio frames after a Xing tag that counts them, without other tags."""
    frames = [data[start:end] for start, end in _frames(data) if not _is_tag(data, start, end)]
    first = bytearray(frames[0][:4])
    first[1] |= 1  # no checksum
    first[2] = first[2] & 0x0C | 9 << 4  # 128 or 80 kbit/s: large enough for the tag, for any sample rate
    length = _frame_length(first, 0)
    size = length + sum(map(len, frames))
    tag = bytes(first) + bytes(_tag_place(first, 0) - 4) + b"Xing" + struct.pack(">III", 3, len(frames), size)
    return b"".join([tag.ljust(length, b"\0"), *frames])


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each complete frame, skipping whatever lies between."""
    place = 0
    found = False  # whether the frame before ended here
    while (place := data.find(b"\xff", place)) >= 0:
        length = _frame_length(data, place)
        end = place + length
        # Away from the last frame two headers in a row are asked for: one is easily found by chance.
        if length and end <= len(data) and (found or end == len(data) or _frame_length(data, end)):
            yield place, end
            place = end
            found = _frame_length(data, place) > 0
        else:
            place += 1
            found = False


def _is_mpeg1(data: bytes | bytearray, place: int) -> bool:
    return data[place + 1] & 0x18 == 0x18


def _frame_length(data: bytes | bytearray, place: int) -> int:
    """Return the bytes of the layer III frame that begins here; 0 if none does."""
    if place + 4 > len(data) or data[place] != 0xFF or data[place + 1] & 0xE6 != 0xE2:
        return 0
    version = data[place + 1] >> 3 & 3
    options = data[place + 2]
    kbits = (_RATES_1 if version == 3 else _RATES_2)[options >> 4]
    hertz = _HERTZ[options >> 2 & 3] >> _HALVED[version]
    if version == 1 or not kbits or not hertz:
        return 0
    return (144_000 if version == 3 else 72_000) * kbits // hertz + (options >> 1 & 1)


def _tag_place(data: bytes | bytearray, place: int) -> int:
    """Return where in a frame a Xing tag would be: after the header and the side information."""
    mono = data[place + 3] >> 6 == 3
    return 4 + ((17 if mono else 32) if _is_mpeg1(data, place) else (9 if mono else 17))


def _is_tag(data: bytes, start: int, end: int) -> bool:
    at = start + _tag_place(data, start)
    return data[at : min(at + 4, end)] in _TAGS
