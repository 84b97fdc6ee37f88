"""Finished files carry the key of the recipe that made them, so that nothing is made twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from models.random_model.families import FAMILIES
from models.random_model.shapes import Shape

RECIPE_VERSION = 3
"""To be raised when the same arguments would give another file."""

NEWER_VERSIONS = {"gemma4": 4, "gemma4-e2b-like": 5, "gemma3-1b": 4, "gemma3-270m": 4}
"""Stand in for it where one shape or one family alone changed, so that the files of the others stay good."""

_MODELS = Path(__file__).parent.parent


def recipe_key(shape: Shape, *more: Any) -> str:
    """A short name of everything that decides the bytes of an output."""
    family = FAMILIES[shape.family]
    template = (_MODELS / family.template).read_text()
    version = NEWER_VERSIONS.get(shape.name, NEWER_VERSIONS.get(shape.family, RECIPE_VERSION))
    recipe = [version, dataclasses.asdict(shape), dataclasses.asdict(family), template, *more]
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_finished(path: Path, key: str) -> bool:
    """Whether `path`, a file or a folder, was made by the recipe `key`."""
    try:
        note = json.loads(_note(path).read_text())
    except (OSError, ValueError):
        return False
    return path.exists() and bool(note.get("key") == key)


def part_of(path: Path) -> Path:
    """An empty place to make `path` in, on the same disk."""
    part = path.with_name(path.name + ".part")
    discard(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def finish(part: Path, path: Path, key: str, **facts: Any) -> None:
    """Move `part` to `path` and write down its key and `facts`; interrupted, it counts as not made."""
    note = _note(path)
    note.unlink(missing_ok=True)
    if path.is_dir():  # a file is replaced in one step, a folder can not be
        discard(path)
    part.replace(path)
    draft = note.with_name(note.name + ".part")
    draft.write_text(json.dumps({"key": key, **facts}, indent=1) + "\n")
    draft.rename(note)


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")
