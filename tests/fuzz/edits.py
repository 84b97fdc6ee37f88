"""Lists of edits of a file: what the fuzz targets take for their input.

An input is a list of records of eight bytes, each of which changes one number of the file. Most inputs are
still nearly right then, and what was found is short enough to be read.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["RECORD", "Edit", "Spot", "changes", "edits_of", "mutate", "random_edits"]

RECORD = struct.Struct("<BBHi")
MOST_EDITS = 32

NUMBERS = (
    0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 64, 127, 128, 255, 256, 1 << 16, 1 << 20, 1 << 24, 1 << 30,
    (1 << 31) - 1, -(1 << 31), -1, -2, -4, -8, 0x7FC00000, 0x7F800000, -0x800000, 0x3F800000,
)  # fmt: skip
"""Numbers at which something happens; among the last are NaN, infinities and 1, as float32."""

SET, NEAR, LIKE, WORD, WORD_NEAR, BYTE = range(6)
"""Kinds of edits: a spot becomes a value, moves by a little, or becomes what another spot of its kind is;
any four bytes become a value or move by a little; any byte becomes a value."""


@dataclass(frozen=True)
class Spot:
    """A number of the file whose meaning is known.

    Attributes:
        kind: What it is, for example ``"operand"``.
        position: Where in the file.
        size: In bytes.
    """

    kind: str
    position: int
    size: int


@dataclass(frozen=True)
class Edit:
    """One record: ``group`` and ``where`` choose a spot or a place, ``value`` is what becomes of it."""

    kind: int
    group: int
    where: int
    value: int

    def pack(self) -> bytes:
        return RECORD.pack(self.kind, self.group, self.where, self.value)


def edits_of(data: bytes) -> list[Edit]:
    """The records of an input; what is too long for one is left out."""
    whole = data[: min(len(data) // RECORD.size, MOST_EDITS) * RECORD.size]
    return [Edit(*record) for record in RECORD.iter_unpack(whole)]


def changes(
    data: bytes, edits: Sequence[Edit], groups: Sequence[Sequence[Spot]], areas: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, bytes]]:
    """Positions and new bytes.

    Args:
        data: The whole file; edits do not see what those before them did.
        edits: The edits.
        groups: Spots of a kind together.
        areas: Begins and ends of where any bytes may be changed.
    """
    for edit in edits:
        kind = edit.kind % 6
        begin, end = areas[edit.group % len(areas)]
        if kind <= LIKE:
            group = groups[edit.group % len(groups)]
            spot = group[edit.where % len(group)]
            position, size = spot.position, spot.size
        elif kind == BYTE:
            position, size = begin + edit.where % (end - begin), 1
        else:
            position, size = begin + 4 * (edit.where % ((end - begin) // 4)), 4
        value = edit.value
        if kind == LIKE:
            other = group[edit.value % len(group)]
            value = int.from_bytes(data[other.position : other.position + other.size], "little")
        elif kind in (NEAR, WORD_NEAR):
            value = int.from_bytes(data[position : position + size], "little") + edit.value % 17 - 8
        yield position, (value % (1 << 8 * size)).to_bytes(size, "little")


def random_edit(rng: random.Random) -> Edit:
    """Any."""
    value = rng.choice(
        (rng.choice(NUMBERS), rng.randrange(256), rng.randrange(1 << 16), rng.getrandbits(32) - (1 << 31))
    )
    kind = rng.choice((SET, SET, NEAR, LIKE, LIKE, WORD, WORD_NEAR, BYTE))
    return Edit(kind, rng.randrange(256), rng.randrange(1 << 16), value)


def random_edits(seed: int) -> bytes:
    """An input of a few edits, always the same for a seed."""
    rng = random.Random(seed)
    return b"".join(random_edit(rng).pack() for _ in range(rng.choice((1, 1, 2, 3, 4, 8))))


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """An input with one edit more, one less, or one that is another."""
    rng = random.Random(seed)
    edits = edits_of(data)
    choice = rng.randrange(8)
    if not edits or (choice < 4 and len(edits) < min(MOST_EDITS, most // RECORD.size)):
        edits.insert(rng.randint(0, len(edits)), random_edit(rng))
    elif choice == 4:
        del edits[rng.randrange(len(edits))]
    else:
        number = rng.randrange(len(edits))
        old, new = edits[number], random_edit(rng)
        edits[number] = rng.choice(
            (
                new,
                Edit(old.kind, old.group, old.where, new.value),
                Edit(old.kind, old.group, new.where, old.value),
                Edit(new.kind, new.group, old.where, old.value),
            )
        )
    return b"".join(edit.pack() for edit in edits)
