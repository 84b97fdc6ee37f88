"""Thousands of damaged model files, opened in one process by the real engine.

Each one ends as a ModelFileError that names the place, or as a model that loads. Nothing crashes, nothing
hangs; a crash would end the test run itself.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from litertlm import Client, modelfile
from litertlm.errors import ModelFileError

from .damage import Damage, DamagedCopy, all_damages

SAMPLED = 400
SLOWEST = 10.0  # seconds for one file; a load takes 0.05 to 0.3


@pytest.fixture(scope="module")
def damages(model_path: Path) -> list[Damage]:
    """Every damage of the campaign, always the same for a model file."""
    model = model_path.read_bytes()
    header = ("header", 0, struct.unpack_from("<Q", model, 24)[0])
    table = ("section table", 32, header[2])
    metadata = [
        (section.kind, section.begin, section.end)
        for section in modelfile.describe(model_path).sections
        if section.kind.endswith("_metadata")
    ]
    return all_damages(model, [header, table, *metadata])


def campaign(model_path: Path, folder: Path, damages: Sequence[Damage]) -> dict[str, int]:
    """Open each damaged file, and count how it ended."""
    copy = DamagedCopy(model_path.read_bytes(), folder / "damaged.litertlm")
    ends = {"refused": 0, "loaded": 0}
    for damage in damages:
        copy.apply(damage)
        started = time.monotonic()
        try:
            with Client(copy.path, cache_dir="off", threads=1):
                ends["loaded"] += 1
        except ModelFileError as error:
            assert error.place or "the file is empty" in error.problem, f"{damage.name}: {error}"
            ends["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{damage.name}: {error!r}") from error
        assert time.monotonic() - started < SLOWEST, damage.name
        copy.restore(damage)
    return ends


def test_there_are_all_the_damages(damages: Sequence[Damage]) -> None:
    """The campaign is as large as promised: 8,192 flips, 128 + 50 truncations, 1,000 edits."""
    kinds = [damage.name.split()[0] for damage in damages]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"bit": 8192, "cut": 178, "edit": 1000}


@pytest.mark.timeout(600)
def test_every_damage_is_verified(model_path: Path, tmp_path: Path, damages: Sequence[Damage]) -> None:
    """Verification alone, of all: an error with a place, or a description; those cut short all refused."""
    copy = DamagedCopy(model_path.read_bytes(), tmp_path / "damaged.litertlm")
    accepted = 0
    for damage in damages:
        copy.apply(damage)
        try:
            modelfile.describe(copy.path)
        except ModelFileError as error:
            assert error.place or "the file is empty" in error.problem, f"{damage.name}: {error}"
        else:
            accepted += 1
            assert damage.length is None, damage.name
        copy.restore(damage)
    assert 0 < accepted < len(damages) // 4


def test_a_sample_of_the_damages(model_path: Path, tmp_path: Path, damages: Sequence[Damage]) -> None:
    """Some of the damages, through the engine."""
    sample = random.Random(2).sample(damages, SAMPLED)
    ends = campaign(model_path, tmp_path, sample)
    assert sum(ends.values()) == SAMPLED
    assert min(ends.values()) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_the_damages(model_path: Path, tmp_path: Path, damages: Sequence[Damage]) -> None:
    """All the damages, through the engine."""
    ends = campaign(model_path, tmp_path, damages)
    assert sum(ends.values()) == len(damages)
    print(ends)  # noqa: T201
