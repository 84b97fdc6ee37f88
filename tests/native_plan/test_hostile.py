"""Graphs that are made to take long, or much memory: they are refused before they do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from litertlm import ModelFileError
from litertlm._engine.native.plan import NotRecognised

from .sketch import Sketch

SLOWEST = 5.0  # seconds of processor time
MANY = 1 << 18  # elements


def refused(path: Path, sketch: Sketch, out: int) -> str:
    """Why a tensor is not planned; it does not take long to say."""
    started = time.process_time()
    with pytest.raises(NotRecognised) as caught:
        sketch.plan(path / "sketch.tflite", out)
    assert time.process_time() - started < SLOWEST
    return caught.value.reason


def test_nothing_of_impossible_shape(tmp_path: Path) -> None:
    """No elements, but dimensions whose product nothing can hold."""
    sketch = Sketch(1, 4)
    empty = sketch.tensor("empty", (0, 1 << 30, 1 << 30))
    out = sketch.apply("ADD", [empty, sketch.constant(1.0)], (0, 1 << 30, 1 << 30))
    with pytest.raises(ModelFileError, match="impossible"):
        sketch.plan(tmp_path / "sketch.tflite", out)


def test_nothing_that_is_repeated(tmp_path: Path) -> None:
    """No elements, repeated along two dimensions."""
    sketch = Sketch(1, 4)
    tall, wide = sketch.tensor("tall", (0, 1 << 30, 1)), sketch.tensor("wide", (0, 1, 1 << 30))
    out = sketch.apply("ADD", [tall, wide], (0, 1 << 20, 1 << 20))
    assert "is too large" in refused(tmp_path, sketch, out)


def test_constants_that_are_computed_again_and_again(tmp_path: Path) -> None:
    """Small ones, of which large ones are made."""
    sketch = Sketch(1, 4)
    tall, wide = sketch.constant(np.zeros((2048, 1))), sketch.constant(np.zeros((1, 2048)))
    for _ in range(500):
        out = sketch.apply("ADD", [tall, wide], (2048, 2048))
    assert "constants of the graphs are too large" in refused(tmp_path, sketch, out)


def test_constants_that_are_joined(tmp_path: Path) -> None:
    """One and the same, a thousand times."""
    sketch = Sketch(1, 4)
    out = sketch.apply("CONCATENATION", [sketch.constant(np.zeros(MANY))] * 1000, (1000 * MANY,))
    assert "constants of the graphs are too large" in refused(tmp_path, sketch, out)


def test_constants_that_are_looked_at_again_and_again(tmp_path: Path) -> None:
    """In comparisons that cost nothing to write down."""
    sketch = Sketch(1, 4)
    iota = sketch.constant(np.arange(MANY), "int32")
    for _ in range(1000):
        out = sketch.tensor("near", (MANY,), "bool")
        sketch.operator("LESS", [iota, 1], [out])
    assert "constants of the graphs are too large" in refused(tmp_path, sketch, out)
