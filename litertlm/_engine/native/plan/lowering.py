"""From nodes to the steps of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from litertlm._engine.native.plan.graph import Array, Graph, Node, Operand
from litertlm._engine.native.plan.steps import NONE, Cache, Constant, Matrix, Op, Plan, Step
from litertlm._engine.native.plan.tflite import NotRecognised

__all__ = ["lower"]

_MOST_TOGETHER = 4  # matrices of a step, or pieces of a concatenation
_MOST_FACTOR = float(np.finfo(np.float32).max)
_MOST_FLOATS = 1 << 27  # of constants that are looked at


def lower(graph: Graph, caches: Sequence[Cache], *, logits: int, max_context: int) -> Plan:
    """Make a plan.

    Args:
        graph: The nodes, fused.
        caches: The KV caches.
        logits: The value that holds the logits.
        max_context: Length of the caches.

    Raises:
        NotRecognised: A number in a node is not finite.
    """
    _merge_products(graph)
    lowering = _Lowering(graph)
    for node in graph.nodes:
        lowering.add(node)
    return Plan(
        matrices=tuple(lowering.matrices),
        floats=np.concatenate([np.zeros(0, np.float32), *lowering.arrays]),
        constants=tuple(lowering.constants),
        widths=tuple(lowering.widths),
        caches=tuple(caches),
        steps=tuple(lowering.steps),
        logits=lowering.renamed[logits],
        vocabulary=graph.widths[logits],
        max_context=max_context,
    )


def _merge_products(graph: Graph) -> None:
    """Let products of the same value be one step, at the place of the first: they need nothing else."""
    leaders: dict[tuple[Operand, int, int, bool], Node] = {}
    kept = []
    for node in graph.nodes:
        if node.op is Op.LINEAR and isinstance(node.inputs[0], int):
            matrix = node.matrices[0]
            key = (node.inputs[0], matrix.format, matrix.columns, matrix.float_activations)
            leader = leaders.get(key)
            if leader is not None and len(leader.matrices) < _MOST_TOGETHER:
                leader.matrices += node.matrices
                leader.biases += node.biases
                leader.outputs += node.outputs
                continue
            leaders[key] = node
        kept.append(node)
    graph.nodes = kept


class _Lowering:
    """A plan in the making; values are numbered in the order in which they are written."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._interned: dict[bytes, int] = {}
        self._floats = 0
        self._seen = 0
        self._matrix_numbers: dict[Matrix, int] = {}
        self._multiplied = {
            matrix.data: matrix for node in graph.nodes if node.op is Op.LINEAR for matrix in node.matrices
        }
        self.matrices: list[Matrix] = []
        self.arrays: list[Array] = []
        self.constants: list[Constant] = []
        self.widths: list[int] = []
        self.steps: list[Step] = []
        self.renamed: dict[int, int] = {}

    def add(self, node: Node) -> None:
        """Append the steps of a node."""
        if any(not abs(factor) <= _MOST_FACTOR for factor in node.f):
            node.source.refuse("a factor is not a finite number")
        if node.op is Op.COPY and len(node.inputs) > 1:
            self._concatenate(node)
            return
        self.steps.append(
            Step(
                node.op,
                tuple(self._operand(operand) for operand in node.inputs)
                + ((NONE,) if node.op is Op.RMS_NORM and len(node.inputs) == 1 else ()),
                tuple(self._output(value) for value in node.outputs),
                function=node.function,
                matrices=tuple(self._matrix(matrix, node.op) for matrix in node.matrices),
                biases=tuple(NONE if bias is None else self._constant(bias) for bias in node.biases),
                cache=node.cache,
                shape=tuple(int(size) for size in node.shape),
                stride_a=node.stride_a,
                stride_b=node.stride_b,
                offset_a=node.offset,
                f=node.f,
            )
        )

    def _concatenate(self, node: Node) -> None:
        """Join pieces in each of some groups: whole pieces of transposed inputs, transposed back."""
        groups = node.shape[0]
        pieces = [self._operand(operand) for operand in node.inputs]
        widths = [
            self._graph.widths[operand] if isinstance(operand, int) else operand.size
            for operand in node.inputs
        ]
        if groups > 1:
            pieces = [
                self._transpose(piece, groups, width // groups)
                for piece, width in zip(pieces, widths, strict=True)
            ]
        joined, width = pieces[0], widths[0]
        for first in range(1, len(pieces), _MOST_TOGETHER - 1):
            more = pieces[first : first + _MOST_TOGETHER - 1]
            total = width + sum(widths[first : first + len(more)])
            last = first + len(more) == len(pieces) and groups == 1
            out = self._output(node.outputs[0]) if last else self._value(total)
            self.steps.append(Step(Op.COPY, (joined, *more), (out,), shape=(width,), stride_a=(1,)))
            joined, width = out, total
        if groups > 1:
            out = self._output(node.outputs[0])
            shape = (groups, width // groups)
            self.steps.append(Step(Op.COPY, (joined,), (out,), shape=shape, stride_a=(1, groups)))

    def _transpose(self, operand: int, rows: int, columns: int) -> int:
        out = self._value(rows * columns)
        step = Step(Op.COPY, (operand,), (out,), shape=(columns, rows), stride_a=(1, columns))
        self.steps.append(step)
        return out

    def _operand(self, operand: Operand) -> int:
        return self.renamed[operand] if isinstance(operand, int) else self._constant(operand)

    def _output(self, value: int) -> int:
        number = self._value(self._graph.widths[value])
        self.renamed[value] = number
        return number

    def _value(self, width: int) -> int:
        self.widths.append(width)
        return len(self.widths) - 1

    def _constant(self, array: Array) -> int:
        data = np.ascontiguousarray(array, np.float32).ravel()
        self._seen += data.size
        if self._seen > _MOST_FLOATS:
            raise NotRecognised("the constants of the graphs are too large")
        key = data.tobytes()
        number = self._interned.get(key)
        if number is None:
            number = len(self.constants)
            self._interned[key] = number
            self.constants.append(Constant(self._floats, data.size))
            self.arrays.append(data)
            self._floats += data.size
        return ~number

    def _matrix(self, matrix: Matrix, op: Op) -> int:
        if op is Op.EMBED:  # a table that is also multiplied with is one matrix, whatever the activations are
            twin = self._multiplied.get(matrix.data, matrix)
            if replace(twin, float_activations=matrix.float_activations) == matrix:
                matrix = twin
        number = self._matrix_numbers.setdefault(matrix, len(self.matrices))
        if number == len(self.matrices):
            self.matrices.append(matrix)
        return number
