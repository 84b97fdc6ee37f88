"""Write the small pictures and sounds of `examples/media`: `python -m models.make_examples DIR`.

They are drawn by the generators of the training data, with seeds that training does not use.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from models.config import AUDIO_RATE
from models.data.sounds import wav_bytes

SIDE = 192
RED, BLUE, GREEN, YELLOW = (222, 40, 36), (38, 70, 220), (40, 170, 70), (246, 214, 40)
WHITE, BLACK = (252, 252, 252), (14, 14, 16)


def _canvas(background: tuple[int, int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIDE * 2, SIDE * 2), background)
    return image, ImageDraw.Draw(image)


def pictures() -> dict[str, Image.Image]:
    """Return the example pictures by file name."""
    circle, draw = _canvas(WHITE)
    draw.ellipse((84, 84, 300, 300), fill=RED)
    square, draw = _canvas(WHITE)
    draw.rectangle((92, 92, 292, 292), fill=BLUE)
    triangle, draw = _canvas(BLACK)
    draw.polygon(((192, 70), (318, 288), (66, 288)), fill=YELLOW)
    drawn = {"red_circle.png": circle, "blue_square.png": square, "yellow_triangle.png": triangle}
    drawn["green.png"] = _canvas(GREEN)[0]
    return {name: image.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for name, image in drawn.items()}


def sounds() -> dict[str, np.ndarray]:
    """Return the example sounds by file name."""
    return {
        "high_tone.wav": _beeps(Random("high"), 2400.0, (1.0,)),
        "low_tone.wav": _beeps(Random("low"), 260.0, (1.0,)),
        "three_beeps.wav": _beeps(Random("three"), 1900.0, (0.18,) * 3),
        "five_low_beeps.wav": _beeps(Random("five"), 330.0, (0.18,) * 5),
    }


def _beeps(rng: Random, frequency: float, lengths: tuple[float, ...]) -> np.ndarray:
    noise = np.random.default_rng(rng.getrandbits(32))
    pieces = [np.zeros(AUDIO_RATE // 10)]
    for length in lengths:
        time = np.arange(int(length * AUDIO_RATE)) / AUDIO_RATE
        tone = 0.5 * np.sin(2 * np.pi * frequency * time)
        fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.01)
        pieces += [tone * fade, np.zeros(AUDIO_RATE // 4)]
    samples = np.concatenate(pieces)
    return samples + noise.normal(0, 2e-4, len(samples))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in pictures().items():
        image.save(folder / name, optimize=True)
    for name, samples in sounds().items():
        (folder / name).write_bytes(wav_bytes(samples))


if __name__ == "__main__":
    main()
