"""Damaged graphs: a plan, a ModelFileError or a refusal; never another exception, and never for long."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from litertlm._engine.native.plan import NotRecognised, plan
from litertlm.bundled import bundled_model
from litertlm.errors import ModelFileError
from litertlm.modelfile import open_model

from ..modelfile.damage import Damage, DamagedCopy, _piece

SLOWEST = 5.0  # seconds of processor time; a plan takes 0.05


def damages(data: bytes, count: int, seed: int) -> list[Damage]:
    """Random edits of the graphs that are read, and files that end early."""
    rng = random.Random(seed)
    with open_model(bundled_model()) as model:
        graphs = [
            (section.begin, section.end)
            for section in model.description.sections
            if section.model_type in ("tf_lite_prefill_decode", "tf_lite_embedder")
        ]
    found = []
    for number in range(count):
        begin, end = graphs[0] if number % 8 else graphs[1]
        end = begin + (end - begin) // 3  # where the tables are; weights come after them
        edits = []
        for _ in range(rng.choice((1, 2, 4, 8, 16))):
            size = rng.choice((1, 2, 4, 8, 16, 64))
            at = rng.randrange(begin, end - size)
            flipped = bytes([data[at] ^ 1 << rng.randrange(8)])
            edits.append((at, flipped if rng.random() < 0.5 else _piece(data, at, size, begin, end, rng)))
        found.append(Damage(f"edit {number} at {[at for at, _ in edits]}", tuple(edits)))
    return found


def campaign(folder: Path, count: int, seed: int) -> Counter[str]:
    """Plan each damaged copy, and count how it ended."""
    data = Path(bundled_model()).read_bytes()
    copy = DamagedCopy(data, folder / "damaged.litertlm")
    ends: Counter[str] = Counter()
    with open_model(copy.path) as model:  # the container was whole when it was verified
        for damage in damages(data, count, seed):
            copy.apply(damage)
            started = time.process_time()
            try:
                plan(model)
                ends["plan"] += 1
            except ModelFileError as error:
                assert error.place, damage.name
                ends["damaged"] += 1
            except NotRecognised as error:
                assert error.reason, damage.name
                ends["refused"] += 1
            except BaseException as error:
                raise AssertionError(f"{damage.name}: {error!r}") from error
            assert time.process_time() - started < SLOWEST, damage.name
            copy.restore(damage)
    return ends


def test_damaged_graphs(tmp_path: Path) -> None:
    """A hundred of them."""
    ends = campaign(tmp_path, 100, seed=1)
    assert sum(ends.values()) == 100
    assert ends["damaged"] > 0
    assert ends["refused"] > 0


def test_files_that_become_shorter(tmp_path: Path) -> None:
    """After they were verified: what is missing is missed where it is read."""
    data = Path(bundled_model()).read_bytes()
    path = tmp_path / "short.litertlm"
    path.write_bytes(data)
    with open_model(path) as model:
        section = model.description.section("tflite_model", "tf_lite_prefill_decode")
        assert section is not None
        for part in range(1, 9):
            path.write_bytes(data)
            with path.open("r+b") as file:
                file.truncate(section.begin + (section.end - section.begin) // 3 * part // 9)
            with pytest.raises(ModelFileError, match="the file ends here"):
                plan(model)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_damaged_graphs(tmp_path: Path) -> None:
    """Thousands."""
    assert sum(campaign(tmp_path, 5000, seed=2).values()) == 5000
