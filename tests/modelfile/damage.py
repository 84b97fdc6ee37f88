"""Damaged copies of a model file: every single-bit flip at its start, truncations, and random edits.

The same model and seed give the same damages, so a number names one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FLIPPED = 1024  # bytes at the start of which every bit is flipped
CUT_STEP, CUT_UP_TO = 512, 65536
RANDOM_CUTS = 50
EDITS = 1000


@dataclass(frozen=True)
class Damage:
    """One damage: bytes written over others, or the length that the file is cut to."""

    name: str
    edits: tuple[tuple[int, bytes], ...] = ()
    length: int | None = None


def all_damages(model: bytes, areas: list[tuple[str, int, int]], seed: int = 1) -> list[Damage]:
    """Return every damage of the campaign.

    Args:
        model: The whole file.
        areas: Name, begin and end of the parts that random edits go to.
        seed: For the random ones.
    """
    rng = random.Random(seed)
    return [*_flips(model), *_cuts(model, rng), *_edits(model, areas, rng)]


def _flips(model: bytes) -> Iterator[Damage]:
    for position in range(FLIPPED):
        for bit in range(8):
            edit = (position, bytes([model[position] ^ 1 << bit]))
            yield Damage(f"bit {bit} of byte {position} flipped", (edit,))


def _cuts(model: bytes, rng: random.Random) -> Iterator[Damage]:
    lengths = [*range(0, CUT_UP_TO, CUT_STEP)]
    lengths += sorted(rng.randrange(CUT_UP_TO, len(model)) for _ in range(RANDOM_CUTS))
    for length in lengths:
        yield Damage(f"cut to {length} bytes", length=length)


def _edits(model: bytes, areas: list[tuple[str, int, int]], rng: random.Random) -> Iterator[Damage]:
    for number in range(EDITS):
        name, begin, end = areas[number % len(areas)]
        edits = []
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            size = rng.choice((2, 2, 3, 4, 4, 8, 16, 64))
            at = rng.randrange(begin, end - size)
            edits.append((at, _piece(model, at, size, begin, end, rng)))
        places = ", ".join(f"{at}..{at + len(data) - 1}" for at, data in edits)
        yield Damage(f"edit {number} of the {name} at {places}", tuple(edits))


def _piece(model: bytes, at: int, size: int, begin: int, end: int, rng: random.Random) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:  # noise
        return rng.randbytes(size)
    if kind == 1:  # what a number is when it is wrong
        value = rng.choice((0, 1, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        return (struct.pack("<I", value) * (size // 4 + 1))[:size]
    if kind == 2:  # a stretch from elsewhere in the same area
        other = rng.randrange(begin, end - size)
        return model[other : other + size]
    if kind == 3:  # off by a little
        return bytes((byte + rng.choice((-4, -1, 1, 4))) & 0xFF for byte in model[at : at + size])
    return bytes(size)  # a hole


class DamagedCopy:
    """A copy of a model that takes one damage at a time and is made whole again after it."""

    def __init__(self, model: bytes, path: Path) -> None:
        self.path = path
        self._model = model
        path.write_bytes(model)

    def apply(self, damage: Damage) -> None:
        """Damage the copy."""
        with self.path.open("r+b") as file:
            for at, data in damage.edits:
                file.seek(at)
                file.write(data)
            if damage.length is not None:
                file.truncate(damage.length)

    def restore(self, damage: Damage) -> None:
        """Undo it."""
        with self.path.open("r+b") as file:
            for at, data in damage.edits:
                file.seek(at)
                file.write(self._model[at : at + len(data)])
            if damage.length is not None:
                file.seek(damage.length)
                file.write(self._model[damage.length :])
