"""What a tensor of the decode graph stands for.

The planner goes through the graph once and says of each tensor what it is: a value of the row, a constant,
weights, the token, the position, a cache, a mask, attention that is not finished. Each operator takes the
meanings that it knows and is refused with all others; so attention cannot be anything but attention, and the
mask cannot be used for anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from litertlm._engine.native.plan.tflite import Tensor

__all__ = [
    "Cache",
    "Fixed",
    "Index",
    "Mask",
    "Near",
    "Position",
    "Row",
    "Scores",
    "Shape",
    "Stored",
    "Symbol",
    "Token",
    "describe",
]

Shape: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True, slots=True)
class Row:
    """A value of the row, as a tensor of this shape that lies as a whole."""

    value: int
    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A constant that was read or computed."""

    array: npt.NDArray[np.generic]

    @property
    def shape(self) -> Shape:
        """Its dimensions."""
        return self.array.shape


@dataclass(frozen=True, slots=True)
class Stored:
    """A constant in the file that was not read.

    Attributes:
        tensor: Where it is.
        dequantised: Whether the graph makes floats of it before it uses it.
    """

    tensor: Tensor
    dequantised: bool = False

    @property
    def shape(self) -> Shape:
        """Its dimensions."""
        return self.tensor.shape


@dataclass(frozen=True, slots=True)
class Token:
    """The row's token id."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Position:
    """The row's position plus ``shift``, an integer."""

    shift: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Index:
    """A position in a tensor: for each dimension an integer, or None for the row's position."""

    entries: tuple[int | None, ...]

    @property
    def shape(self) -> Shape:
        """Its dimensions."""
        return (len(self.entries),)


@dataclass(frozen=True, slots=True)
class Near:
    """For each position of the cache, whether it is ``low`` to ``high`` after the row's; None: no limit."""

    low: int | None
    high: int | None
    shape: Shape


@dataclass(frozen=True, slots=True)
class Mask:
    """What is added to scores: 0 for the positions that the row looks at, much less for the others.

    Attributes:
        causal: Whether positions after the row's are hidden.
        window: How many positions back are not, its own included; 0: all.
    """

    causal: bool
    window: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys or values of all positions.

    Attributes:
        name: The input that it came in by.
        axes: What its dimensions are: ``"batch"``, ``"head"``, ``"position"`` and ``"channel"``; nothing as
            long as the row's own are not in it.
        row: The row's own.
    """

    name: str
    shape: Shape
    axes: tuple[str, ...] = ()
    row: int = -1


@dataclass(frozen=True, slots=True)
class Scores:
    """Attention that is not finished: products of queries and keys, perhaps masked, perhaps normalised.

    Attributes:
        query: The queries.
        keys: What they were multiplied with.
        scale: What the products are multiplied with.
        squashed: Whether a tanh was applied after that.
        cap: What is multiplied with after the tanh.
        mask: What was added, None as long as nothing was.
        normalised: Whether the softmax was taken.
    """

    query: Row
    keys: Cache
    shape: Shape
    scale: float = 1.0
    squashed: bool = False
    cap: float = 1.0
    mask: Mask | None = None
    normalised: bool = False


Symbol: TypeAlias = "Row | Fixed | Stored | Token | Position | Index | Near | Mask | Cache | Scores"

_NAMES: dict[type, str] = {
    Row: "a value",
    Fixed: "a constant",
    Stored: "a constant",
    Token: "the token",
    Position: "the position",
    Index: "an index",
    Near: "a comparison of positions",
    Mask: "the attention mask",
    Cache: "a KV cache",
    Scores: "attention scores",
}


def describe(symbols: list[Symbol | None]) -> str:
    """The meanings of inputs, for refusals."""
    return ", ".join("nothing" if symbol is None else _NAMES[type(symbol)] for symbol in symbols)
