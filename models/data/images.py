"""Draw small pictures of coloured shapes, with their true description."""

from __future__ import annotations

import colorsys
import io
import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "black", "white")
BACKGROUNDS = (*COLOURS, "grey")
SHAPES = ("circle", "square", "triangle", "star", "plain")
"""A `plain` picture shows one colour and nothing else."""
MOST_SHAPES = 3

_HUES = {
    "red": (-9, 8),
    "orange": (22, 36),
    "yellow": (51, 62),
    "green": (95, 150),
    "blue": (210, 245),
    "purple": (270, 300),
}


@dataclass(frozen=True)
class Picture:
    """A picture and what is on it."""

    image: Image.Image
    shape: str
    colour: str
    background: str
    count: int

    @property
    def plain(self) -> bool:
        """Whether there is nothing but a colour."""
        return self.shape == "plain"


def paint(rng: Random, name: str) -> tuple[int, int, int]:
    """Return one of the many RGB values that people call `name`."""
    if name == "black":
        hue, saturation, value = rng.random(), rng.uniform(0, 0.3), rng.uniform(0, 0.13)
    elif name == "white":
        hue, saturation, value = rng.random(), rng.uniform(0, 0.05), rng.uniform(0.93, 1)
    elif name == "grey":
        hue, saturation, value = rng.random(), rng.uniform(0, 0.06), rng.uniform(0.35, 0.72)
    else:
        low, high = _HUES[name]
        hue = (rng.uniform(low, high) % 360) / 360
        saturation, value = rng.uniform(0.65, 1), rng.uniform(0.62, 1)
        if name in ("yellow", "orange"):
            value = rng.uniform(0.85, 1)
        if name == "green":
            value = rng.uniform(0.45, 1)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def make_picture(
    rng: Random,
    *,
    shape: str | None = None,
    colour: str | None = None,
    background: str | None = None,
    count: int | None = None,
) -> Picture:
    """Draw a picture; what is not given is chosen by `rng`."""
    if shape is None:
        shape = rng.choice(("circle", "square", "triangle", "star") * 2 + ("plain",))
    colour = colour or rng.choice(COLOURS)
    width, height = _size(rng)
    if shape == "plain":
        image = Image.new("RGB", (width, height), paint(rng, colour))
        return Picture(_weather(rng, image), shape, colour, colour, 0)
    if background is None:
        favourites = ("white", "black", "grey", "white")
        choices = favourites if rng.random() < 0.5 else BACKGROUNDS
        background = rng.choice([name for name in choices if name != colour])
    if count is None:
        count = rng.choice((1, 1, 1, 1, 2, 3))
    image = _draw(rng, (width, height), shape, colour, background, count)
    return Picture(_weather(rng, image), shape, colour, background, count)


def _size(rng: Random) -> tuple[int, int]:
    if rng.random() < 0.5:
        side = rng.choice((64, 96, 128, 192, 224, 256))
        return side, side
    return rng.randint(64, 300), rng.randint(64, 300)


def _draw(
    rng: Random,
    size: tuple[int, int],
    shape: str,
    colour: str,
    background: str,
    count: int,
) -> Image.Image:
    scale = 2
    width, height = size[0] * scale, size[1] * scale
    image = Image.new("RGB", (width, height), paint(rng, background))
    draw = ImageDraw.Draw(image)
    fill = paint(rng, colour)
    cells = _cells(rng, width, height, count)
    for left, top, cell_width, cell_height in cells:
        room = min(cell_width, cell_height)
        radius = room * (rng.uniform(0.26, 0.47) if count == 1 else rng.uniform(0.3, 0.44))
        x = left + rng.uniform(radius, cell_width - radius)
        y = top + rng.uniform(radius, cell_height - radius)
        _stamp(draw, rng, shape, x, y, radius, fill)
    return image.resize(size, Image.Resampling.LANCZOS)


def _cells(rng: Random, width: int, height: int, count: int) -> list[tuple[float, ...]]:
    """Split the picture into `count` parts, along its longer side, or into quarters."""
    if count == 1:
        return [(0, 0, width, height)]
    if max(width, height) < 1.4 * min(width, height) and rng.random() < 0.7:
        quarters = [(x * width / 2, y * height / 2, width / 2, height / 2) for x in (0, 1) for y in (0, 1)]
        return rng.sample(quarters, count)
    if width >= height:
        return [(i * width / count, 0, width / count, height) for i in range(count)]
    return [(0, i * height / count, width, height / count) for i in range(count)]


def _stamp(
    draw: ImageDraw.ImageDraw,
    rng: Random,
    shape: str,
    x: float,
    y: float,
    radius: float,
    fill: tuple[int, int, int],
) -> None:
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        return
    turn = rng.uniform(-0.25, 0.25)
    if shape == "square":
        turn, corners = turn * 0.6 + math.pi / 4, 4
    else:
        turn, corners = turn - math.pi / 2, (3 if shape == "triangle" else 10)
    points = []
    for i in range(corners):
        reach = radius * (0.42 if shape == "star" and i % 2 else 1)
        angle = turn + 2 * math.pi * i / corners
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    draw.polygon(points, fill=fill)


def _weather(rng: Random, image: Image.Image) -> Image.Image:
    """Add what cameras and files add: uneven light, noise, JPEG squares."""
    pixels = None
    if rng.random() < 0.35:
        noise = np.random.default_rng(rng.getrandbits(32))
        pixels = np.asarray(image, dtype=np.float32)
        shade = np.linspace(rng.uniform(-12, 12), rng.uniform(-12, 12), pixels.shape[1])
        pixels = pixels + shade[None, :, None]
        pixels = pixels + noise.normal(0, rng.uniform(1, 9), pixels.shape)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(45, 95))
        image = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    return image
