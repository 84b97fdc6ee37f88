"""Make short sounds - tones and beeps, low and high - with their true description."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from random import Random

import numpy as np

from models.config import AUDIO_RATE

PITCHES = ("low", "high")
MOST_BEEPS = 5
_RANGES = {"low": (150.0, 480.0), "high": (1500.0, 4200.0)}


@dataclass(frozen=True)
class Sound:
    """A sound and what is to be heard in it."""

    samples: np.ndarray
    pitch: str
    beeps: int
    onsets: tuple[int, ...]
    """First sample of each beep."""
    ends: tuple[int, ...]


def make_sound(rng: Random, *, pitch: str | None = None, beeps: int | None = None) -> Sound:
    """Make a sound; what is not given is chosen by `rng`."""
    pitch = pitch or rng.choice(PITCHES)
    beeps = beeps or rng.choice((1, 1, 2, 3, 4, 5))
    low, high = _RANGES[pitch]
    frequency = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if beeps == 1:
        length = rng.choice((rng.uniform(0.08, 0.4), rng.uniform(0.4, 2.2)))
    else:
        length = rng.uniform(0.08, 0.3)
    gap = rng.uniform(0.1, 0.45)
    jitter = rng.choice((0.0, 0.0, 0.15))

    position = rng.choice((0.0, rng.uniform(0, 0.6)))
    spans = []
    for _ in range(beeps):
        duration = length * (1 + rng.uniform(-jitter, jitter))
        spans.append((int(position * AUDIO_RATE), int((position + duration) * AUDIO_RATE)))
        position += duration + gap * (1 + rng.uniform(-jitter, jitter))
    total = spans[-1][1] + int(AUDIO_RATE * rng.choice((0.0, rng.uniform(0, 0.5))))

    noise = np.random.default_rng(rng.getrandbits(32))
    samples = noise.normal(0, rng.choice((1e-5, 1e-4, rng.uniform(1e-4, 8e-3))), total)
    loudness = rng.uniform(0.08, 0.85)
    for start, end in spans:
        samples[start:end] += loudness * _tone(rng, frequency, end - start)
    samples = np.clip(samples, -1, 1).astype(np.float32)
    onsets = tuple(start for start, _ in spans)
    return Sound(samples, pitch, beeps, onsets, tuple(end for _, end in spans))


def _tone(rng: Random, frequency: float, length: int) -> np.ndarray:
    time = np.arange(length) / AUDIO_RATE
    tone = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6.28))
    for harmonic in (2, 3):
        if frequency * harmonic < AUDIO_RATE / 2 and rng.random() < 0.3:
            tone = tone + rng.uniform(0.05, 0.4) * np.sin(2 * np.pi * frequency * harmonic * time)
    tone = tone / np.max(np.abs(tone), initial=1e-6)
    ramp = min(length // 4, int(AUDIO_RATE * rng.uniform(0.001, 0.02)))
    if ramp:
        fade = np.linspace(0, 1, ramp)
        tone[:ramp] *= fade
        tone[-ramp:] *= fade[::-1]
    return tone


def wav_bytes(samples: np.ndarray, rate: int = AUDIO_RATE) -> bytes:
    """Return `samples` (floats in -1..1) as a 16 bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
