"""Files that were cut off, at many places."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import PIL.ImageFile
import pytest

from litertlm.errors import MediaError
from litertlm.media import encode_audio, encode_image
from litertlm.media.completeness import missing_part
from litertlm.messages import Audio, Image

IMAGES = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {"quality": 80}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("PPM", {}),
]


def places(size: int, fewest: int = 1) -> list[int]:
    """Lengths to cut a file of ``size`` bytes to, losing at least ``fewest`` bytes."""
    spread = np.linspace(8, size - 64, 12).astype(int).tolist()
    return [*spread, *(size - lost for lost in (40, 20, 12, 8, 3, 2, 1) if lost >= fewest)]


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("container", "options"), IMAGES)
def test_images(container: str, options: dict[str, object], write_image: Callable[..., bytes]) -> None:
    """An image cut anywhere, down to its last byte, is refused."""
    data = write_image(container, **options)
    encode_image(Image(data))
    for place in places(len(data)):
        with pytest.raises(MediaError):
            encode_image(Image(data[:place]))


@pytest.mark.parametrize("container", ["JPEG", "PNG", "BMP", "PPM"])
def test_images_where_pillow_was_told_to_be_lenient(
    container: str, write_image: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that lets Pillow make do with truncated files does not change what is refused here."""
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = write_image(container)
    encode_image(Image(data))
    for place in places(len(data)):
        with pytest.raises(MediaError):
            encode_image(Image(data[:place]))


def test_the_message_says_truncated(write_image: Callable[..., bytes]) -> None:
    """The refusal names the file and what is missing."""
    with pytest.raises(MediaError, match="image given as bytes is truncated: its end marker is missing"):
        encode_image(Image(write_image("JPEG")[:-2]))
    with pytest.raises(MediaError, match="truncated: its end chunk is missing"):
        encode_image(Image(write_image("PNG")[:-12]))
    with pytest.raises(MediaError, match=r"is truncated: image file is truncated"):
        encode_image(Image(write_image("BMP")[:-1]))


def test_a_thumbnail_does_not_hide_a_truncated_jpeg(write_image: Callable[..., bytes]) -> None:
    """The end marker of a thumbnail in the metadata is not that of the image; bytes after the end do not
    count.
    """
    small = write_image("JPEG")
    application_segment = b"\xff\xe5" + struct.pack(">H", 2 + len(small)) + small
    data = small[:2] + application_segment + small[2:]
    assert missing_part(data) == ""
    assert missing_part(data + b"trailer") == ""
    assert missing_part(data[:-2])


# format, subtype, and the fewest lost bytes that can be noticed: an MP3 says its length only roughly
RECORDINGS = [
    ("WAV", "PCM_16", 1),
    ("WAV", "FLOAT", 1),
    ("WAV", "IMA_ADPCM", 1),
    ("RF64", "PCM_16", 1),
    ("W64", "PCM_16", 1),
    ("AIFF", "PCM_16", 1),
    ("AU", "PCM_16", 1),
    ("CAF", "PCM_16", 1),
    ("FLAC", "PCM_16", 1),
    ("OGG", "VORBIS", 1),
    ("OGG", "OPUS", 1),
    ("MP3", "MPEG_LAYER_III", 60),
]


@pytest.mark.parametrize(("container", "subtype", "fewest"), RECORDINGS)
def test_recordings(container: str, subtype: str, fewest: int, write_audio: Callable[..., bytes]) -> None:
    """A recording cut anywhere is refused, where libsndfile and the engine would play what is left."""
    data = write_audio(container, subtype)
    encode_audio(Audio(data))
    for place in places(len(data), fewest):
        with pytest.raises(MediaError):
            encode_audio(Audio(data[:place]))


def test_a_recording_is_truncated_message(write_audio: Callable[..., bytes]) -> None:
    """The refusal says how much its header announces and how much is there."""
    data = write_audio("WAV", "PCM_16")
    with pytest.raises(MediaError, match="truncated: its header announces 16044 bytes, 1000 are there"):
        encode_audio(Audio(data[:1000]))
    data = write_audio("FLAC", "PCM_16")
    with pytest.raises(MediaError, match=r"is damaged or truncated after 0\.\d s"):
        encode_audio(Audio(data[: len(data) // 2]))


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000])
def test_a_wav_written_into_a_pipe_is_complete(size: int, write_audio: Callable[..., bytes]) -> None:
    """Programs that write a WAV into a pipe cannot go back to fill in the size: that is no truncation."""
    data = bytearray(write_audio("WAV", "PCM_16"))
    data[4:8] = data[40:44] = struct.pack("<I", size)
    assert encode_audio(Audio(data)).seconds == 0.5


def test_what_follows_the_end_does_not_matter(
    write_image: Callable[..., bytes], write_audio: Callable[..., bytes]
) -> None:
    """Bytes after the end, which some programs leave, are no reason to refuse."""
    for container in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        encode_image(Image(write_image(container) + bytes(100)))
    for container, subtype in (
        ("WAV", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        encode_audio(Audio(io.BytesIO(write_audio(container, subtype) + b"TAG" + bytes(125))))
