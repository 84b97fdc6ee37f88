"""The fuzz targets with edits that look random, so that they do not rot; `python -m tests.fuzz` fuzzes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from .decoder import model
from .edits import random_edits
from .targets import ContainerTarget, PlannerTarget


def test_plans_of_edited_graphs(tmp_path: Path) -> None:
    """They are made, or not, and nothing else happens."""
    target = PlannerTarget(model(), tmp_path)
    assert target(b"") is not None
    ends = Counter(target(random_edits(seed)) is not None for seed in range(300))
    target.close()
    assert min(ends[True], ends[False]) > 20


def test_edited_files(tmp_path: Path) -> None:
    """They are read, or not, and nothing else happens."""
    target = ContainerTarget(model(), tmp_path)
    assert target(b"") is not None
    ends = Counter(target(random_edits(seed)) is not None for seed in range(300))
    assert min(ends[True], ends[False]) > 20
