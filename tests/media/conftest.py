"""Pictures and recordings made for the tests, and the way to look at what was encoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile

WriteImage = Callable[..., bytes]
WriteAudio = Callable[..., bytes]


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """64 x 48 pixels of smooth colour with some noise, so that no compression makes the file trivially
    small.
    """
    rows, columns = np.mgrid[0:48, 0:64]
    colours = np.stack([columns * 4, rows * 5, 255 - columns * 2 - rows], axis=-1)
    noise = np.random.default_rng(7).integers(-8, 9, colours.shape)
    return (colours + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def write_image(scene: np.ndarray) -> WriteImage:
    """Write the scene, or other pixels, as an image file of a Pillow format, with Pillow's own options."""

    def write(container: str, pixels: Any = None, **options: Any) -> bytes:
        picture = pixels if isinstance(pixels, PIL.Image.Image) else None
        if picture is None:
            picture = PIL.Image.fromarray(scene if pixels is None else pixels)
        file = io.BytesIO()
        picture.save(file, container, **options)
        return file.getvalue()

    return write


@pytest.fixture(scope="session")
def tone() -> Callable[..., np.ndarray]:
    """Samples of a sine of ``hertz``, lasting ``seconds``, at ``rate`` frames per second."""

    def make(hertz: float = 440.0, seconds: float = 0.5, rate: int = 16000) -> np.ndarray:
        time = np.arange(round(seconds * rate)) / rate
        return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def write_audio(tone: Callable[..., np.ndarray]) -> WriteAudio:
    """Write a tone, or other samples, as an audio file of a libsndfile format."""

    def write(container: str, subtype: str, samples: Any = None, rate: int = 16000) -> bytes:
        file = io.BytesIO()
        samples = tone(rate=rate) if samples is None else samples
        soundfile.write(file, samples, rate, format=container, subtype=subtype)
        return file.getvalue()

    return write


def pixels_of(data: bytes) -> np.ndarray:
    """Decode an encoded image."""
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def samples_of(data: bytes) -> np.ndarray:
    """Decode an encoded recording to 16-bit integers, checking that it is what the engine is promised."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.format, file.subtype, file.samplerate, file.channels) == ("WAV", "PCM_16", 16000, 1)
        return file.read(dtype="int16")


@pytest.fixture(scope="session", name="pixels_of")
def _pixels_of() -> Callable[[bytes], np.ndarray]:
    return pixels_of


@pytest.fixture(scope="session", name="samples_of")
def _samples_of() -> Callable[[bytes], np.ndarray]:
    return samples_of
