"""Recordings: every format, rate, channel count and array."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from litertlm.errors import MediaError
from litertlm.media import EncodedAudio, encode_audio
from litertlm.messages import Audio

Tone = Callable[..., np.ndarray]
SamplesOf = Callable[[bytes], np.ndarray]

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_U8"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def pitch(samples: np.ndarray) -> float:
    """Return the strongest frequency in Hz, at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * 16000 / len(samples)


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_formats(
    container: str, subtype: str, write_audio: Callable[..., bytes], samples_of: SamplesOf
) -> None:
    """Each format arrives as 16 kHz mono WAV with the same tone and length."""
    result = encode_audio(Audio(write_audio(container, subtype)))
    samples = samples_of(result.data)
    assert result.sample_rate == 16000
    assert len(samples) / 16000 == result.seconds
    assert pytest.approx(result.seconds, abs=0.05) == 0.5  # block codecs pad the end
    assert pytest.approx(pitch(samples), abs=4) == 440
    assert pytest.approx(np.abs(samples[1000:7000]).max(), rel=0.1) == 16384


def test_every_kind_of_source(tmp_path: Path, write_audio: Callable[..., bytes]) -> None:
    """Bytes, paths, file objects and data: URLs of a file all give the same."""
    data = write_audio("FLAC", "PCM_16")
    path = tmp_path / "speech.mp3"  # files are known by their bytes, not by their names
    path.write_bytes(data)
    expected = encode_audio(Audio(data))
    url = "data:audio/flac;base64," + base64.b64encode(data).decode()
    for source in (path, str(path), bytearray(data), memoryview(data), io.BytesIO(data), url):
        assert expected == encode_audio(Audio(source))
    with path.open("rb") as file:
        assert expected == encode_audio(Audio(file))


def test_sixteen_bit_samples_stay_as_they_are(
    write_audio: Callable[..., bytes], samples_of: SamplesOf
) -> None:
    """What is 16 kHz mono 16-bit already arrives bit for bit, over the whole range."""
    samples = np.concatenate([np.arange(-32768, 32768, 7), [-32768, 32767]]).astype(np.int16)
    for source in (samples, samples.reshape(-1, 1), samples.astype(">i2")):
        np.testing.assert_array_equal(samples, samples_of(encode_audio(Audio(source, 16000)).data))
    np.testing.assert_array_equal(
        samples, samples_of(encode_audio(Audio(write_audio("WAV", "PCM_16", samples))).data)
    )


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 384000])
def test_resampling_keeps_pitch_and_level(rate: int, tone: Tone, samples_of: SamplesOf) -> None:
    """A tone keeps its frequency, length and loudness from any rate."""
    result = encode_audio(Audio(tone(220, 1.0, rate), rate))
    samples = samples_of(result.data)
    assert result.seconds == 1.0
    assert pytest.approx(pitch(samples), abs=1) == 220
    assert pytest.approx(np.abs(samples[4000:12000]).max(), rel=0.01) == 16384


def test_resampling_does_not_fold_what_is_too_high(tone: Tone, samples_of: SamplesOf) -> None:
    """A tone above 8 kHz disappears; cheap resampling would turn it into a lower one."""
    samples = samples_of(encode_audio(Audio(tone(11000, 1.0, 48000), 48000)).data)
    assert np.abs(samples[1000:15000]).max() < 4


def test_long_recordings_have_no_seams(tone: Tone, samples_of: SamplesOf) -> None:
    """Decoding and resampling in blocks is inaudible: a tone of many blocks is one tone."""
    result = encode_audio(Audio(tone(440, 10.0, 44100), 44100))
    samples = samples_of(result.data) / 32768
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(160_000) / 16000)
    assert result.seconds == 10.0
    assert np.abs(samples - expected)[1000:-1000].max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 6, 16])
def test_channels_are_averaged(
    channels: int, tone: Tone, write_audio: Callable[..., bytes], samples_of: SamplesOf
) -> None:
    """Tones on different channels are all there, each at its share of the level."""
    samples = np.stack([tone(400 + 250 * number) for number in range(channels)], axis=1)
    expected = samples.mean(axis=1) * 32768
    for audio in (Audio(samples, 16000), Audio(write_audio("WAV", "FLOAT", samples))):
        np.testing.assert_allclose(samples_of(encode_audio(audio).data), expected, atol=1)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 0.5, -1], np.float32), [0, 16384, -32768]),
        (np.array([0, 0.5, -1], np.float64), [0, 16384, -32768]),
        (np.array([0, 0.5, -1], np.float16), [0, 16384, -32768]),
        (np.array([0, 0.5, -1], ">f4"), [0, 16384, -32768]),
        (np.array([0, 64, -128], np.int8), [0, 16384, -32768]),
        (np.array([0, 2**30, -(2**31)], np.int32), [0, 16384, -32768]),
        (np.array([0, 2**62, -(2**63)], np.int64), [0, 16384, -32768]),
        (np.array([128, 192, 0], np.uint8), [0, 16384, -32768]),
        (np.array([2**15, 3 * 2**14, 0], np.uint16), [0, 16384, -32768]),
        (np.array([[0, 0], [0.5, 0.5], [-1, -1]]), [0, 16384, -32768]),
    ],
)
def test_arrays(array: np.ndarray, expected: list[int], samples_of: SamplesOf) -> None:
    """Floating point has full scale at 1, integers use their whole range, unsigned ones rest in the
    middle.
    """
    before = array.copy()
    assert expected == samples_of(encode_audio(Audio(array, 16000)).data).tolist()
    np.testing.assert_array_equal(before, array)


def test_what_is_too_loud_is_turned_down(tone: Tone, samples_of: SamplesOf) -> None:
    """Samples beyond full scale are not clipped: the shape of the wave stays."""
    samples = samples_of(encode_audio(Audio(tone() * 4, 16000)).data)
    np.testing.assert_allclose(samples, tone() * 65534, atol=3)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (Audio(np.zeros(9)), r"sample_rate has to be a whole number of Hz, not None. .*Audio\(samples"),
        (Audio(np.zeros(9), 16000.5), "whole number of Hz, not 16000.5"),  # type: ignore[arg-type]
        (Audio(np.zeros(9), True), "whole number of Hz, not True"),
        (Audio(np.zeros(9), -1), "whole number of Hz, not -1"),
        (Audio(np.zeros(9), 0), "has 0 Hz; the limits are 1000 and 384000 Hz"),
        (Audio(np.zeros(9), 10**6), "has 1000000 Hz; the limits are 1000 and 384000 Hz"),
        (Audio(np.zeros(0), 16000), r"shape \(0,\) has no samples"),
        (Audio(np.zeros((0, 2)), 16000), r"shape \(0, 2\) has no samples"),
        (Audio(np.zeros((5, 0)), 16000), r"shape \(5, 0\) has 0 channels"),
        (Audio(np.zeros((2, 2, 2)), 16000), r"shape \(2, 2, 2\) is not a recording. Pass \(frames,\) or"),
        (Audio(np.zeros(()), 16000), r"shape \(\) is not a recording"),
        (Audio(np.zeros((2, 8000)), 16000), r"channels first. Pass \(frames, channels\): array.T"),
        (Audio(np.zeros((99, 17)), 16000), "has 17 channels; the limit is 16"),
        (Audio(np.zeros(9, bool), 16000), "dtype bool"),
        (Audio(np.zeros(9, complex), 16000), "dtype complex128"),
        (Audio(np.array(["a"]), 16000), "dtype <U1"),
        (Audio(np.array([0, np.nan]), 16000), "NaN or infinite"),
        (Audio(np.array([0, -np.inf]), 48000), "NaN or infinite"),
        (Audio(np.array([0, 1e300]), 48000), "NaN or infinite"),
        (Audio(np.array([0, 12000.0]), 16000), "up to 12000, where full scale is 1. .*divide by 32768"),
        (Audio(np.zeros(1), 48000), "shorter than one sample at 16000 Hz"),
        (Audio(np.broadcast_to(np.float32(0), 16000 * 1801), 16000), "lasts 1801 s, more than the limit"),
        (Audio([0.0, 0.1], 16000), "type list is not supported. Pass a path"),  # type: ignore[arg-type]
    ],
)
def test_arrays_refused(audio: Audio, message: str) -> None:
    """An array without a rate, of another shape, type or range, or too long is refused by name."""
    with pytest.raises(MediaError, match=message):
        encode_audio(audio)


def test_a_sample_rate_given_for_a_file_has_to_agree(write_audio: Callable[..., bytes]) -> None:
    """A setting that would be ignored is refused, unless it is what the file says."""
    data = write_audio("WAV", "PCM_16", rate=8000)
    assert encode_audio(Audio(data)) == encode_audio(Audio(data, 8000))
    with pytest.raises(MediaError, match="says it has 8000 Hz, but sample_rate=44100 was passed"):
        encode_audio(Audio(data, 44100))


def test_files_beyond_a_limit(write_audio: Callable[..., bytes]) -> None:
    """No samples, too many channels, an odd rate and too many seconds are refused, naming the limit."""
    for options, message in [
        ({"samples": np.zeros(0)}, "has no samples"),
        ({"samples": np.zeros((10, 17))}, "has 17 channels; the limit is 16"),
        ({"rate": 500}, "has 500 Hz; the limits are 1000"),
        (
            {"samples": np.zeros(1801 * 1000, np.int16), "rate": 1000},
            "lasts 1801 s, more than the limit of 1800",
        ),
    ]:
        with pytest.raises(MediaError, match=message):
            encode_audio(Audio(write_audio("WAV", "PCM_16", **options)))
    with pytest.raises(MediaError, match="NaN or infinite"):
        encode_audio(Audio(write_audio("WAV", "FLOAT", np.array([0, np.nan]))))


def test_a_flac_that_does_not_say_its_length(write_audio: Callable[..., bytes]) -> None:
    """A FLAC written into a pipe has no length in its header; libsndfile cannot read it, which is said."""
    data = bytearray(write_audio("FLAC", "PCM_16"))
    data[21] &= 0xF0  # STREAMINFO: the 36 bits of the number of samples
    data[22:26] = bytes(4)
    with pytest.raises(MediaError, match=r"does not say how long it is.*ffmpeg"):
        encode_audio(Audio(data))


def test_an_mp3_is_read_to_its_end(tone: Tone, samples_of: SamplesOf) -> None:
    """Neither a missing length nor several files put together, as speech services send them, cost samples.

    libsndfile reads no further than the Xing tag says, or guesses from the first frame's bit rate.
    """
    quiet_then_loud = np.concatenate([tone(440, 3.0, 44100) / 1000, tone(440, 3.0, 44100)])
    file = io.BytesIO()
    soundfile.write(
        file, quiet_then_loud, 44100, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
    )
    data = file.getvalue()
    first_frame = data.index(b"\xff\xfb", 4)  # after the one with the tag
    for stream, seconds in ((data, 6.0), (data[first_frame:], 6.0), (data + data, 12.0)):
        result = encode_audio(Audio(stream))
        assert result.seconds == pytest.approx(seconds, abs=0.1)
        assert np.abs(samples_of(result.data)[-16000:-8000]).max() == pytest.approx(16384, rel=0.1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0", r"it is MPEG-4 audio \(M4A, AAC\). Readable are WAV, .*ffmpeg"),
        (b"\xff\xf1\x50\x80" + bytes(20), r"it is raw AAC audio \(ADTS\)"),
        (b"\x1a\x45\xdf\xa3" + bytes(20), "it is WebM or Matroska"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), r"it is a PNG image. Pass it as Image\(...\)|truncated"),
        (b"GIF89a" + bytes(99), r"it is a GIF image. Pass it as Image\(...\)"),
        (b"MThd" + bytes(20), "it is a MIDI file"),
        (b"just text", "cannot be read as audio: Format not recognised. Readable are WAV"),
        (b"RIFF" + struct.pack("<I", 4) + b"WAVE", "cannot be read as a WAV recording: .*data"),
    ],
)
def test_other_files_are_named(data: bytes, message: str) -> None:
    """What is no readable recording is refused by the name of what it is, with what to do instead."""
    with pytest.raises(MediaError, match=message):
        encode_audio(Audio(data))


def test_many_threads(write_audio: Callable[..., bytes], tone: Tone) -> None:
    """Threads that encode at the same time get what one thread gets."""
    recordings = [Audio(write_audio(container, subtype, rate=48000)) for container, subtype in FORMATS[-5:]]
    recordings = [*recordings, Audio(tone(rate=48000), 48000)]
    expected: list[EncodedAudio] = [encode_audio(audio) for audio in recordings] * 4
    with ThreadPoolExecutor(8) as pool:
        assert expected == list(pool.map(encode_audio, recordings * 4))
