"""Recordings: anything libsndfile reads, any rate and channel count, as 16 kHz mono WAV."""

from __future__ import annotations

import io
import math
import operator
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from litertlm.errors import MediaError
from litertlm.media.completeness import missing_part
from litertlm.media.formats import unreadable
from litertlm.media.mp3 import mp3_length, with_true_length
from litertlm.media.source import Content, is_array, read_source
from litertlm.messages import Audio

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    Samples: TypeAlias = numpy.typing.NDArray[numpy.float32]

__all__ = ["MAX_BYTES", "MAX_SECONDS", "SAMPLE_RATE", "EncodedAudio", "encode_audio"]

SAMPLE_RATE = 16_000
"""Frames per second of what is passed on: what the models' audio encoders take."""

MAX_BYTES = 512 << 20
"""Largest file, in bytes: half an hour of 48 kHz 24-bit stereo."""

MAX_SECONDS = 30 * 60
"""Longest recording, in seconds: 45 000 tokens at 25 per second. The context is full before that in most
models."""

MIN_RATE, MAX_RATE = 1_000, 384_000
"""Sample rates accepted, in Hz."""

MAX_CHANNELS = 16

_MAX_PEAK = 8.0
"""Largest floating point sample. Full scale is 1; mixes go a little beyond, integers given as floats far."""

_BLOCK = 1 << 16  # samples decoded at a time, so that memory is bounded whatever the rate and channel count
_UNKNOWN_FRAMES = 1 << 62  # libsndfile counts so many in a FLAC without a length, and then fails to read it
_MP3_PADDING = 4 * 1152  # samples that encoders add at the ends, and libsndfile takes off again
_COUNTS_FRAMES_ITSELF = ("MP3", "OGG")  # formats whose frame count libsndfile estimates from the file


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """A recording that the engine decodes.

    Attributes:
        data: A WAV file: 16-bit, mono.
        sample_rate: In Hz; always ``SAMPLE_RATE``.
        seconds: Its length.
    """

    data: bytes
    sample_rate: int
    seconds: float


def encode_audio(audio: Audio) -> EncodedAudio:
    """Turn a recording from any source into bytes that the engine decodes.

    The channels are averaged, the result is resampled by soxr (quality HQ) and stored with 16 bits. Samples
    beyond full scale turn the whole recording down instead of being clipped. 16 kHz mono 16-bit samples stay
    as they are.

    Args:
        audio: Its source may be a path, bytes, a binary file object (read from where it stands), a ``data:``
            URL, or an array of shape (frames,) or (frames, channels): floating point with full scale at 1,
            or integers that use their type's whole range (unsigned ones have silence in the middle). An
            array needs ``sample_rate``; with a file, ``sample_rate`` must agree with what the file says.

    Returns:
        The encoded recording.

    Raises:
        litertlm.errors.MediaError: It cannot be read, is truncated, is empty, or is beyond ``MAX_BYTES``,
            ``MAX_SECONDS``, ``MIN_RATE``, ``MAX_RATE`` or ``MAX_CHANNELS``.

    May be called from any thread, if no other thread reads the same file object.
    """
    source = audio.source
    if is_array(source):
        return _from_array(source, audio.sample_rate)
    return _from_file(read_source(source, "audio", limit=MAX_BYTES), audio.sample_rate)


def _check_format(rate: int, channels: int, frames: int, name: str) -> None:
    """Refuse what is beyond a limit."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise MediaError(f"{name} has {rate} Hz; the limits are {MIN_RATE} and {MAX_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(f"{name} has {channels} channels; the limit is {MAX_CHANNELS}")
    if frames == 0:
        raise MediaError(f"{name} has no samples")
    if frames >= _UNKNOWN_FRAMES:
        raise MediaError(
            f"{name} does not say how long it is",
            hint="It was written into a pipe; write it anew: ffmpeg -i INPUT OUTPUT.",
        )
    if frames > MAX_SECONDS * rate:
        raise MediaError(
            f"{name} lasts {frames / rate:.0f} s, more than the limit of {MAX_SECONDS} s",
            hint="Cut it into parts, and send them in turn.",
        )


def _rate_from(value: object, name: str) -> int:
    try:
        rate = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        rate = -1
    if isinstance(value, bool) or rate < 0:
        raise MediaError(
            f"{name}: sample_rate has to be a whole number of Hz, not {value!r}",
            hint="An array does not say how fast it was recorded: Audio(samples, sample_rate=16000).",
        )
    return rate


def _from_array(array: numpy.typing.NDArray[Any], sample_rate: int | None) -> EncodedAudio:
    shape = array.shape
    name = f"audio array of shape {shape}"
    if array.ndim not in (1, 2):
        raise MediaError(f"{name} is not a recording", hint="Pass (frames,) or (frames, channels).")
    if array.dtype.kind not in "fiu":
        raise MediaError(f"{name} has dtype {array.dtype}", hint="Pass floating point -1..1, or integers.")
    rate = _rate_from(sample_rate, name)
    frames, channels = shape[0], shape[1] if array.ndim == 2 else 1
    if channels > MAX_CHANNELS >= frames > 0:
        raise MediaError(
            f"{name} seems to have its channels first", hint="Pass (frames, channels): array.T does it."
        )
    _check_format(rate, channels, frames, name)
    return _encode(_array_blocks(array.reshape(frames, channels)), rate, name)


def _array_blocks(array: numpy.typing.NDArray[Any]) -> Iterator[Samples]:
    """Cut an array into blocks of floats, -1..1."""
    import numpy as np

    step = max(1, _BLOCK // array.shape[1])
    bits = 8 * array.dtype.itemsize
    for start in range(0, len(array), step):
        block = array[start : start + step]
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
                samples = block.astype(np.float32)
            yield samples
        else:
            silence = 2.0 ** (bits - 1) if array.dtype.kind == "u" else 0.0
            yield ((block.astype(np.float64) - silence) / 2.0 ** (bits - 1)).astype(np.float32)


def _from_file(content: Content, sample_rate: int | None) -> EncodedAudio:
    name = content.name
    if missing := missing_part(content.data):
        raise MediaError(
            f"{name} is truncated: {missing}",
            hint="If it plays to its end, saving it anew helps: ffmpeg -i INPUT -c copy OUTPUT.",
        )
    try:
        with _open(content.data) as file:
            if sample_rate is not None and _rate_from(sample_rate, name) != file.samplerate:
                raise MediaError(
                    f"{name} says it has {file.samplerate} Hz, but sample_rate={sample_rate} was passed",
                    hint="Leave sample_rate out; it is for arrays.",
                )
            _check_format(file.samplerate, file.channels, file.frames, name)
            return _encode(_file_blocks(file, name), file.samplerate, name)
    except MediaError:
        raise
    except Exception as error:  # soundfile's own errors, and what a damaged header makes of its arithmetic
        reason = getattr(error, "error_string", "") or str(error)
        raise unreadable(content, "audio", reason) from error


class _Bytes(io.BytesIO):
    """A file that stays where it is when libsndfile, misled by a damaged header, seeks before its start."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _open(data: bytes) -> Any:
    """Open a file as a ``soundfile.SoundFile``, an MP3 such that it is read to its end."""
    import soundfile

    file = soundfile.SoundFile(_Bytes(data))
    if file.format != "MP3" or mp3_length(data) <= file.frames + _MP3_PADDING:
        return file
    file.close()
    return soundfile.SoundFile(_Bytes(with_true_length(data)))


def _file_blocks(file: Any, name: str) -> Iterator[Samples]:
    """Decode an open ``soundfile.SoundFile`` block by block.

    Raises:
        MediaError: It is damaged, or ends before the frame that its header calls the last.
    """
    step = max(1, _BLOCK // file.channels)
    announced = file.frames
    done = 0
    while True:
        try:
            block = file.read(step, dtype="float32", always_2d=True)
        except Exception as error:  # soundfile's own errors, of several classes
            raise MediaError(
                f"{name} is damaged or truncated after {done / file.samplerate:.1f} s: {error}"
            ) from error
        if not len(block):
            break
        done += len(block)
        yield block
    if done < announced and file.format not in _COUNTS_FRAMES_ITSELF:
        raise MediaError(f"{name} is truncated: its header announces {announced} frames, {done} are there")


def _encode(blocks: Iterator[Samples], rate: int, name: str) -> EncodedAudio:
    """Mix, resample, and write a WAV file."""
    import numpy as np

    pieces = list(_resampled(blocks, rate, name))
    if not any(map(len, pieces)):
        raise MediaError(f"{name} is shorter than one sample at {SAMPLE_RATE} Hz")
    samples = np.concatenate(pieces)
    peak = float(np.abs(samples).max())
    if peak > 1:
        samples /= peak
    integers = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(integers.tobytes())
    return EncodedAudio(file.getvalue(), SAMPLE_RATE, len(integers) / SAMPLE_RATE)


def _resampled(blocks: Iterator[Samples], rate: int, name: str) -> Iterator[Samples]:
    """Check and mix each block to mono, and bring it to ``SAMPLE_RATE``."""
    import numpy as np

    stream = None
    if rate != SAMPLE_RATE:
        import soxr

        stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        peak = float(np.abs(block).max())
        if not math.isfinite(peak):
            raise MediaError(f"{name} has NaN or infinite samples")
        if peak > _MAX_PEAK:
            raise MediaError(
                f"{name} has samples up to {peak:g}, where full scale is 1",
                hint="They look like integers given as floating point: divide by 32768 for 16 bits.",
            )
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        yield mono if stream is None else stream.resample_chunk(np.ascontiguousarray(mono))
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)
