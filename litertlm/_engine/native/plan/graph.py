"""What a model computes for a row, as nodes between values: the planner's own form, before it is a plan.

A value is a vector of float32, written by one node. How a tensor's dimensions lie in it is known to the nodes
that read it, by strides; so a reshape is nothing at all. A constant is an array. Nodes are steps of the plan,
with two liberties: a COPY of several inputs joins them in each of ``shape[0]`` groups, and matrices are
themselves, not indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from litertlm._engine.native.plan.steps import Function, Matrix, Op
from litertlm._engine.native.plan.tflite import NotRecognised, Operator

__all__ = ["Array", "Graph", "Node", "Operand", "coalesce", "strides_of"]

Array: TypeAlias = npt.NDArray[np.float32]

_MOST_WIDTH = 1 << 24

Operand: TypeAlias = "int | Array"
"""A value, or a constant."""


@dataclass(slots=True)
class Node:
    """One node; the fields mean what they mean in a step of the plan.

    Attributes:
        source: The operator of the file that it was made of, for refusals.
    """

    op: Op
    inputs: list[Operand]
    outputs: list[int]
    source: Operator
    function: Function | None = None
    shape: tuple[int, ...] = ()
    stride_a: tuple[int, ...] = ()
    stride_b: tuple[int, ...] = ()
    offset: int = 0
    f: tuple[float, ...] = ()
    matrices: list[Matrix] = field(default_factory=list)
    biases: list[Array | None] = field(default_factory=list)
    cache: int = 0


class Graph:
    """Nodes in the order in which they run.

    Attributes:
        nodes: The nodes.
        widths: Of each value, in floats.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.widths: list[int] = []

    def value(self, width: int) -> int:
        """A new value.

        Raises:
            NotRecognised: It is wider than any value of a model.
        """
        if not 0 < width <= _MOST_WIDTH:
            raise NotRecognised(f"a value of {width} numbers is too large")
        self.widths.append(width)
        return len(self.widths) - 1

    def add(self, node: Node) -> int:
        """Append a node and return its first output, -1 when it has none."""
        self.nodes.append(node)
        return node.outputs[0] if node.outputs else -1

    def makers(self) -> dict[int, Node]:
        """The node that writes each value."""
        return {value: node for node in self.nodes for value in node.outputs}

    def uses(self) -> list[int]:
        """How often each value is read."""
        counts = [0] * len(self.widths)
        for node in self.nodes:
            for operand in node.inputs:
                if isinstance(operand, int):
                    counts[operand] += 1
        return counts

    def prune(self, wanted: int) -> None:
        """Drop the nodes that a value does not depend on, but those that fill caches."""
        needed = {wanted}
        kept = []
        for node in reversed(self.nodes):
            if node.op is Op.KV_STORE or not needed.isdisjoint(node.outputs):
                needed.update(operand for operand in node.inputs if isinstance(operand, int))
                kept.append(node)
        self.nodes = kept[::-1]


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a tensor that lies as a whole, in elements."""
    strides = []
    step = 1
    for dimension in reversed(shape):
        strides.append(step)
        step *= dimension
    return tuple(reversed(strides))


def coalesce(
    shape: Sequence[int], *strides: Sequence[int]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Join neighbouring dimensions where all the strides allow it, and drop those of size 1.

    Returns:
        The shape, of at least one dimension, and the strides.
    """
    dimensions: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        here = [each[axis] for each in strides]
        if dimensions and all(step[-1] == at * size for step, at in zip(steps, here, strict=True)):
            dimensions[-1] *= size
            for step, at in zip(steps, here, strict=True):
                step[-1] = at
        else:
            dimensions.append(size)
            for step, at in zip(steps, here, strict=True):
                step.append(at)
    if not dimensions:
        return (1,), tuple((0,) for _ in strides)
    return tuple(dimensions), tuple(tuple(step) for step in steps)
