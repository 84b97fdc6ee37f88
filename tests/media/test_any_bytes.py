"""Whatever bytes come, the outcome is an encoded medium or a MediaError, and soon."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litertlm.errors import MediaError
from litertlm.media import encode_audio, encode_image
from litertlm.media.completeness import missing_part
from litertlm.messages import Audio, Image

MAGIC = [
    b"",
    b"\xff\xd8\xff\xe0\0\x10JFIF",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"RIFF\xff\0\0\0WEBPVP8 ",
    b"RIFF\xff\0\0\0WAVEfmt ",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"FORM\0\0\0\xffAIFFCOMM",
    b".snd\0\0\0\x18",
    b"caff\0\1\0\0desc",
    b"fLaC\0\0\0\x22",
    b"OggS\0\2",
    b"ID3\4\0\0\0\0\0\x0a",
]

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
    database=None,
)


def survive(data: bytes) -> None:
    """Take ``data`` for an image and for a recording."""
    with contextlib.suppress(MediaError):
        encode_image(Image(data))
    with contextlib.suppress(MediaError):
        encode_audio(Audio(data))
    assert isinstance(missing_part(data), str)


@quick
@given(start=st.sampled_from(MAGIC), rest=st.binary(max_size=300))
def test_random_bytes(start: bytes, rest: bytes) -> None:
    """Random bytes, also after the first bytes of a known format, raise MediaError or nothing."""
    survive(start + rest)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO"])
def test_damaged_images(container: str, write_image: Callable[..., bytes]) -> None:
    """A file with some bytes replaced is decoded or refused."""
    damage_and_survive(write_image(container))


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("CAF", "ALAC_16")],
)
def test_damaged_recordings(container: str, subtype: str, write_audio: Callable[..., bytes]) -> None:
    """A file with some bytes replaced is decoded or refused."""
    damage_and_survive(write_audio(container, subtype))


def damage_and_survive(whole: bytes) -> None:
    """Try several damages, most of them near the start, where the header is."""
    place = st.one_of(st.integers(0, min(200, len(whole) - 1)), st.integers(0, len(whole) - 1))

    @settings(quick, max_examples=25)
    @given(st.dictionaries(place, st.integers(0, 255), min_size=1, max_size=6))
    def check(damage: dict[int, int]) -> None:
        data = bytearray(whole)
        for at, value in damage.items():
            data[at] = value
        survive(bytes(data))

    check()


@quick
@given(
    st.text("ABCdata:;,=+/%-_ .~\0\né\ud800", max_size=60),
    st.sampled_from(["", "data:", "data:;base64,", "data:image/png,"]),
)
def test_random_text(text: str, start: str) -> None:
    """Random text as a path or a data: URL raises MediaError or nothing."""
    for encode in (lambda: encode_image(Image(start + text)), lambda: encode_audio(Audio(start + text))):
        with contextlib.suppress(MediaError):
            encode()
