"""Pictures and sounds as a terminal can show them.

Nothing here imports rich: a picture is rows of character cells with two colours each, a waveform is a string.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Cell", "Picture", "Sound", "read_picture", "read_sound"]

Cell: TypeAlias = "tuple[tuple[int, int, int], tuple[int, int, int]]"
"""Colours of the upper and the lower half of a character cell."""

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=+*%#"


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail.

    Attributes:
        width: Of the original, in pixels.
        height: Likewise.
        format: Of the file, for example ``"JPEG"``.
        rows: The thumbnail, for half-block characters.
    """

    width: int
    height: int
    format: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording at a glance.

    Attributes:
        seconds: How long it is.
        sample_rate: Frames per second.
        channels: 1: mono, 2: stereo.
        peaks: Loudness over time, 0..1, evenly spaced.
    """

    seconds: float
    sample_rate: int
    channels: int
    peaks: tuple[float, ...]

    def waveform(self, *, modern: bool = True) -> str:
        """One character for each peak, scaled to the loudest; ASCII only unless ``modern``."""
        bars = _BARS if modern else _ASCII_BARS
        loudest = max(self.peaks, default=0.0) or 1.0
        return "".join(bars[min(len(bars) - 1, int(peak / loudest * len(bars)))] for peak in self.peaks)


def read_picture(path: str, columns: int, lines: int) -> Picture | None:
    """A thumbnail of a picture, at most that large; None when it cannot be shown.

    Whether the model can be sent it is for the model's client to say.
    """
    import PIL.Image
    import PIL.ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path) as image:
                if image.format == "EPS":  # a program, which Pillow would run
                    return None
                image.draft("RGB", (columns * 2, lines * 4))
                (width, height), kind = image.size, image.format or ""
                upright: PIL.Image.Image = PIL.ImageOps.exif_transpose(image)
                upright.thumbnail((columns, lines * 2))
                opaque = upright.convert("RGBA")
        paper = PIL.Image.new("RGBA", opaque.size, "white")
        return Picture(width, height, kind, _cells(PIL.Image.alpha_composite(paper, opaque).convert("RGB")))
    except (OSError, ValueError, SyntaxError, Warning, PIL.Image.DecompressionBombError):
        return None


def _cells(image: PIL.Image.Image) -> tuple[tuple[Cell, ...], ...]:
    pixels: Any = image.load()
    width, height = image.size
    return tuple(
        tuple((pixels[x, y], pixels[x, min(y + 1, height - 1)]) for x in range(width))
        for y in range(0, height, 2)
    )


def read_sound(path: str, columns: int) -> Sound | None:
    """A recording's waveform in that many characters; None when it cannot be shown."""
    import numpy
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            frames, rate, channels = file.frames, file.samplerate, file.channels
            if frames <= 0:
                return None
            block = -(-frames // columns)
            peaks = [
                float(numpy.abs(samples).max())
                for samples in file.blocks(blocksize=block, dtype="float32", always_2d=True)
                if len(samples)
            ]
    except (OSError, RuntimeError, ValueError, TypeError):
        return None
    return Sound(frames / rate, rate, channels, tuple(peaks))
