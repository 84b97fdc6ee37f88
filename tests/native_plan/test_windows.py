"""Sliding windows: what a comparison of positions shows, counted one by one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

import pytest

from litertlm._engine.native.plan import NotRecognised
from litertlm._engine.native.plan.symbols import Mask

from .sketch import Sketch

LENGTH = 12
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "GREATER": operator.gt,
    "GREATER_EQUAL": operator.ge,
    "LESS": operator.lt,
    "LESS_EQUAL": operator.le,
}


def seen(test: Callable[[int], bool]) -> int:
    """How many positions up to the last are shown; they must be the last ones."""
    shown = [test(position) for position in range(LENGTH)]
    assert shown == [False] * shown.count(False) + [True] * shown.count(True)
    return sum(shown)


@pytest.mark.parametrize("name", ["GREATER", "GREATER_EQUAL"])
@pytest.mark.parametrize("back", [1, 2, 5])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_window_is_as_wide_as_it_says(tmp_path: Path, name: str, back: int, swapped: bool) -> None:
    """``iota > position - back`` and the like, in both orders, with an upper end that hides nothing."""
    written = name.replace("GREATER", "LESS") if swapped else name
    sketch = Sketch(4)
    iota = sketch.constant([list(range(LENGTH))], "int32")
    first = sketch.tensor("first", (1,), "int32")
    sketch.operator("SUB", [1, sketch.constant([back], "int32")], [first])
    last = sketch.tensor("last", (1,), "int32")
    sketch.operator("ADD", [1, sketch.constant([back], "int32")], [last])
    after, before, both = (sketch.tensor(each, (1, LENGTH), "bool") for each in ("after", "before", "both"))
    sketch.operator(written, [first, iota] if swapped else [iota, first], [after])
    sketch.operator("LESS", [iota, last], [before])
    sketch.operator("LOGICAL_AND", [after, before], [both])
    out = sketch.apply("SELECT_V2", [both, sketch.constant(0.0), sketch.constant(-1e4)], (1, LENGTH))
    row = LENGTH - 1
    expected = seen(lambda position: COMPARISONS[name](position, row - back) and position < row + back)
    assert sketch.symbol(tmp_path / "window", out) == Mask(
        causal=back == 1, window=expected, shape=(1, LENGTH)
    )


def test_a_row_that_does_not_see_itself(tmp_path: Path) -> None:
    """Is no attention that is known."""
    sketch = Sketch(4)
    iota = sketch.constant([list(range(LENGTH))], "int32")
    near = sketch.tensor("near", (1, LENGTH), "bool")
    sketch.operator("LESS", [iota, 1], [near])
    out = sketch.apply("SELECT_V2", [near, sketch.constant(0.0), sketch.constant(-1e4)], (1, LENGTH))
    with pytest.raises(NotRecognised, match=r"SELECT_V2 .*its own position"):
        sketch.symbol(tmp_path / "window", out)
