"""Single operators: what a plan computes is what numpy says the operator does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from litertlm._engine.native.plan import NotRecognised, Op

from .sketch import Sketch

Array = np.ndarray
INT = "int32"


def check(path: Path, sketch: Sketch, out: int, expected: Callable[[Array], Array], *shape: int) -> None:
    """Compare the plan's result with numpy's."""
    given, found = sketch.run(path / "sketch.tflite", out)
    np.testing.assert_allclose(found, expected(given.reshape(shape)).ravel(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (0, 2, 1), (0, 1, 2), (2, 1, 0)])
def test_transpose(tmp_path: Path, order: tuple[int, ...]) -> None:
    """In any order."""
    sketch = Sketch(2, 3, 4)
    shape = tuple((2, 3, 4)[axis] for axis in order)
    out = sketch.apply("TRANSPOSE", [sketch.input, sketch.constant(order, INT)], shape)
    check(tmp_path, sketch, out, lambda x: x.transpose(order), 2, 3, 4)


def test_slice(tmp_path: Path) -> None:
    """With -1 for the rest of a dimension."""
    sketch = Sketch(2, 3, 4)
    at, size = sketch.constant([0, 1, 1], INT), sketch.constant([2, -1, 2], INT)
    out = sketch.apply("SLICE", [sketch.input, at, size], (2, 2, 2))
    check(tmp_path, sketch, out, lambda x: x[:, 1:, 1:3], 2, 3, 4)


def test_strided_slice(tmp_path: Path) -> None:
    """Steps, negative ends, ends that are not there, and a dimension that is dropped."""
    sketch = Sketch(2, 3, 8)
    marks = [sketch.constant(each, INT) for each in ([-1, 0, 1], [0, 3, -1], [1, 1, 3])]
    options = {"field_0": ("i", 2), "field_1": ("i", 2), "field_4": ("i", 1)}
    out = sketch.apply("STRIDED_SLICE", [sketch.input, *marks], (3, 2), **options)
    check(tmp_path, sketch, out, lambda x: x[-1, :, 1:-1:3], 2, 3, 8)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concatenation(tmp_path: Path, axis: int) -> None:
    """Along any dimension, of pieces that are not of the same width, a constant among them."""
    sketch = Sketch(2, 3, 4)
    half = [2, 3, 4]
    half[axis] = 1
    part = sketch.apply(
        "SLICE", [sketch.input, sketch.constant([0, 0, 0], INT), sketch.constant(half, INT)], half
    )
    ones = np.full(half, 7, np.float32)
    pieces = [sketch.input, part, sketch.constant(ones), part, sketch.input, part]
    whole = [2, 3, 4]
    whole[axis] = 2 * whole[axis] + 4
    out = sketch.apply("CONCATENATION", pieces, whole, field_0=("i", axis))

    def expected(x: Array) -> Array:
        small = np.take(x, [0], axis=axis)
        return np.concatenate([x, small, ones, small, x, small], axis=axis)

    check(tmp_path, sketch, out, expected, 2, 3, 4)


def test_pack_and_split(tmp_path: Path) -> None:
    """Taken apart and put together the other way."""
    sketch = Sketch(2, 6)
    parts = [sketch.tensor(f"part {number}", (2, 2)) for number in range(3)]
    sketch.operator("SPLIT", [sketch.constant(1, INT), sketch.input], parts, field_0=("i", 3))
    out = sketch.apply("PACK", parts[::-1], (2, 3, 2), field_0=("i", 3), field_1=("i", 1))
    check(tmp_path, sketch, out, lambda x: np.stack(np.split(x, 3, axis=1)[::-1], axis=1), 2, 6)


def test_broadcast(tmp_path: Path) -> None:
    """A dimension is repeated."""
    sketch = Sketch(3, 1, 4)
    out = sketch.apply("BROADCAST_TO", [sketch.input, sketch.constant([2, 3, 5, 4], INT)], (2, 3, 5, 4))
    check(tmp_path, sketch, out, lambda x: np.broadcast_to(x, (2, 3, 5, 4)), 3, 1, 4)


@pytest.mark.parametrize("axes", [[2], [0], [1], [0, 2], [-1, 1], [0, 1, 2]])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("name", "function"), [("MEAN", np.mean), ("SUM", np.sum), ("REDUCE_MAX", np.max)])
def test_reduce(
    tmp_path: Path, axes: list[int], keep: bool, name: str, function: Callable[..., Array]
) -> None:
    """Over any dimensions."""
    sketch = Sketch(2, 3, 4)

    def expected(x: Array) -> Array:
        return np.asarray(function(x, axis=tuple(axes), keepdims=keep))

    shape = expected(np.zeros((2, 3, 4))).shape
    out = sketch.apply(name, [sketch.input, sketch.constant(axes, INT)], shape, field_0=("?", keep))
    check(tmp_path, sketch, out, expected, 2, 3, 4)


@pytest.mark.parametrize("shape", [(4,), (3, 1), (2, 1, 4), (1, 3, 1), (), (5, 2, 3, 4)])
def test_broadcasting_arithmetic(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """As numpy does it, on either side."""
    sketch = Sketch(2, 3, 4)
    other = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    whole = np.broadcast_shapes(shape, (2, 3, 4))
    out = sketch.apply("SUB", [sketch.constant(other), sketch.input], whole)
    check(tmp_path, sketch, out, lambda x: other - x, 2, 3, 4)


def test_softmax(tmp_path: Path) -> None:
    """Over the last dimension."""
    sketch = Sketch(2, 5)
    out = sketch.apply("SOFTMAX", [sketch.input], (2, 5), field_0=("f", 1.0))
    check(tmp_path, sketch, out, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True), 2, 5)


@pytest.mark.parametrize("keep", [True, False])
def test_a_product_for_each_of_several_rows(tmp_path: Path, keep: bool) -> None:
    """As a block-wise Hadamard rotation needs it; with a bias and a built-in activation."""
    sketch = Sketch(1, 6, 4)
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    inputs = [sketch.input, sketch.constant(weights), sketch.constant(bias)]
    options = {"field_0": ("b", 1), "field_2": ("?", keep)}
    out = sketch.apply("FULLY_CONNECTED", inputs, (1, 6, 3) if keep else (6, 3), **options)
    check(tmp_path, sketch, out, lambda x: np.maximum(x @ weights.T + bias, 0), 1, 6, 4)


def test_a_norm_is_one_step(tmp_path: Path) -> None:
    """Written out, with its dimension dropped and put back."""
    sketch = Sketch(1, 1, 3, 8)
    weight = np.random.default_rng(5).normal(size=8).astype(np.float32)
    square = sketch.apply("MUL", [sketch.input, sketch.input], (1, 1, 3, 8))
    mean = sketch.apply("MEAN", [square, sketch.constant([3], INT)], (1, 1, 3))
    total = sketch.apply("ADD", [sketch.constant(1e-3), mean], (1, 1, 3))
    root = sketch.apply("RSQRT", [sketch.apply("RESHAPE", [total], (1, 1, 3, 1))], (1, 1, 3, 1))
    normed = sketch.apply("MUL", [root, sketch.input], (1, 1, 3, 8))
    out = sketch.apply("MUL", [normed, sketch.constant(weight)], (1, 1, 3, 8))
    assert [step.op for step in sketch.plan(tmp_path / "norm", out).steps] == [Op.EMBED, Op.RMS_NORM]
    check(
        tmp_path,
        sketch,
        out,
        lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-3)) * weight,
        3,
        8,
    )


def test_what_looks_like_a_norm_is_none(tmp_path: Path) -> None:
    """The mean of another value's squares."""
    sketch = Sketch(1, 8)
    other = sketch.apply("EXP", [sketch.input], (1, 8))
    square = sketch.apply("MUL", [other, other], (1, 8))
    mean = sketch.apply("MEAN", [square, sketch.constant([1], INT)], (1, 1), field_0=("?", True))
    root = sketch.apply("RSQRT", [sketch.apply("ADD", [mean, sketch.constant(1e-3)], (1, 1))], (1, 1))
    out = sketch.apply("MUL", [sketch.input, root], (1, 8))
    assert Op.RMS_NORM not in {step.op for step in sketch.plan(tmp_path / "norm", out).steps}
    check(tmp_path, sketch, out, lambda x: x / np.sqrt(np.mean(np.exp(x) ** 2) + np.float32(1e-3)), 1, 8)


@pytest.mark.parametrize("heads", [1, 3])
def test_rotary_embeddings_are_one_step(tmp_path: Path, heads: int) -> None:
    """Of one head, and of several; the position comes in as an integer."""
    sketch = Sketch(1, heads, 1, 8)
    frequencies = np.array([1.0, 0.5, 0.25, 0.125], np.float32)
    at = sketch.apply("CAST", [1], (1,), field_0=("b", 2), field_1=("b", 0))
    turns = sketch.apply("MUL", [at, sketch.constant(frequencies)], (4,))
    angles = sketch.apply("CONCATENATION", [turns, turns], (8,), field_0=("i", 0))
    cosines, sines = (sketch.apply(name, [angles], (8,)) for name in ("COS", "SIN"))
    half = sketch.constant([1, heads, 1, 4], INT)
    low, high = (
        sketch.apply("SLICE", [sketch.input, sketch.constant([0, 0, 0, first], INT), half], (1, heads, 1, 4))
        for first in (0, 4)
    )
    turned = sketch.apply(
        "CONCATENATION",
        [sketch.apply("NEG", [high], (1, heads, 1, 4)), low],
        (1, heads, 1, 8),
        field_0=("i", 3),
    )
    straight = sketch.apply("MUL", [cosines, sketch.input], (1, heads, 1, 8))
    crossed = sketch.apply("MUL", [turned, sines], (1, heads, 1, 8))
    out = sketch.apply("ADD", [crossed, straight], (1, heads, 1, 8))
    path = tmp_path / "rope"
    assert [step.shape for step in sketch.plan(path, out).steps if step.op is Op.ROPE] == [(heads, 8)]
    given, found = sketch.run(path, out, positions=3)
    x = given.reshape(heads, 2, 4)
    angle = 2 * frequencies
    low_out = x[:, 0] * np.cos(angle) - x[:, 1] * np.sin(angle)
    high_out = x[:, 1] * np.cos(angle) + x[:, 0] * np.sin(angle)
    np.testing.assert_allclose(found.reshape(heads, 2, 4), np.stack([low_out, high_out], 1), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "indices"), [((2, 3, 4), [0, 1, 3]), ((2, 3, 4), [0, 0, 1]), ((2, 3, 4), [0, 1])]
)
def test_impossible_transposes(tmp_path: Path, shape: tuple[int, ...], indices: list[int]) -> None:
    """Are refused by name."""
    sketch = Sketch(*shape)
    out = sketch.apply("TRANSPOSE", [sketch.input, sketch.constant(indices, INT)], shape)
    with pytest.raises(NotRecognised, match=r"TRANSPOSE \(node 2 of graph 0, 'out of TRANSPOSE'\)"):
        sketch.plan(tmp_path / "transpose", out)
