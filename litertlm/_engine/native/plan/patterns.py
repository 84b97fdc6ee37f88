"""Nodes that together are something this engine has a kernel for: norms, rotary embeddings, gates, factors.

Each pattern is found at its last node, which becomes the whole; what nobody else uses of the others is pruned
afterwards. Nothing changes but the order of a few roundings.
"""

from __future__ import annotations

import numpy as np

from litertlm._engine.native.plan.graph import Graph, Node, Operand
from litertlm._engine.native.plan.steps import Activation, Function, Op

__all__ = ["fuse"]

_GATES = {
    Function.SILU: Activation.SILU,
    Function.GELU: Activation.GELU,
    Function.GELU_TANH: Activation.GELU_TANH,
    Function.LOGISTIC: Activation.SIGMOID,
    Function.RELU: Activation.RELU,
}


def fuse(graph: Graph, wanted: int) -> None:
    """Find the patterns of a graph and prune it to what the value ``wanted`` depends on."""
    graph.prune(wanted)
    finder = _Finder(graph)
    for node in graph.nodes:
        if node.op is Op.BINARY and node.function is Function.MUL:
            any(
                pattern(node)
                for pattern in (
                    finder.norm,
                    finder.weighted_norm,
                    finder.scaled_embedding,
                    finder.silu,
                    finder.gate,
                )
            )
        elif node.op is Op.BINARY and node.function is Function.ADD:
            finder.rope(node)
        elif node.op is Op.ATTEND:
            finder.scaled_queries(node)
    graph.prune(wanted)


class _Finder:
    """Looks at what a node's operands were made by."""

    def __init__(self, graph: Graph) -> None:
        self._widths = graph.widths
        self._makers = graph.makers()
        self._uses = graph.uses()

    def norm(self, node: Node) -> bool:
        """``x * rsqrt(mean(x * x) + epsilon)``."""
        for x, x_steps, root, root_steps in _both_ways(node):
            rsqrt = self._maker(root, Op.UNARY, Function.RSQRT)
            total = self._maker(rsqrt.inputs[0], Op.BINARY, Function.ADD) if rsqrt else None
            if total is None:
                continue
            for mean_value, _, epsilon, _ in _both_ways(total):
                mean = self._maker(mean_value, Op.REDUCE, Function.MEAN)
                if mean is None or not self._is_square(mean.inputs[0], x):
                    continue
                if isinstance(epsilon, int) or epsilon.size != 1:
                    continue
                groups, size = mean.shape
                if not _a_group(node.shape, x_steps, root_steps, groups, size):
                    continue
                _become(node, Op.RMS_NORM, [x], shape=(groups, size), f=(float(epsilon.item()),))
                return True
        return False

    def weighted_norm(self, node: Node) -> bool:
        """A norm times a constant, the same for each group."""
        for x, x_steps, weight, weight_steps in _both_ways(node):
            norm = self._maker(x, Op.RMS_NORM)
            if norm is None or len(norm.inputs) != 1 or isinstance(weight, int) or not self._once(x):
                continue
            groups, size = norm.shape
            if weight.size == size and _the_same(node.shape, x_steps, weight_steps, groups, size):
                _become(node, Op.RMS_NORM, [norm.inputs[0], weight], shape=norm.shape, f=norm.f)
                return True
        return False

    def scaled_embedding(self, node: Node) -> bool:
        """An embedding times a number."""
        for x, _, factor, _ in _both_ways(node):
            embed = self._maker(x, Op.EMBED)
            number = _number(factor)
            if embed is not None and number is not None and embed.f == (1.0,) and self._once(x):
                _become(node, Op.EMBED, [], f=(number,))
                node.matrices = embed.matrices
                return True
        return False

    def scaled_queries(self, node: Node) -> None:
        """Attention of queries that were multiplied with a number: the products are multiplied instead."""
        product = self._maker(node.inputs[0], Op.BINARY, Function.MUL)
        if product is None or not self._once(node.inputs[0]):
            return
        for x, _, factor, _ in _both_ways(product):
            number = _number(factor)
            if (
                number is not None
                and isinstance(x, int)
                and self._widths[x] == self._widths[product.outputs[0]]
            ):
                node.inputs = [x]
                node.f = (node.f[0] * number, node.f[1])
                return

    def silu(self, node: Node) -> bool:
        """``x * logistic(x)``."""
        for x, _, y, _ in _both_ways(node):
            logistic = self._maker(y, Op.UNARY, Function.LOGISTIC)
            if logistic is not None and _is_value(x, logistic.inputs[0]) and _whole(node):
                _become(node, Op.UNARY, [x], function=Function.SILU)
                return True
        return False

    def gate(self, node: Node) -> bool:
        """``activation(x) * y``."""
        for x, _, y, _ in _both_ways(node):
            made = self._maker(x, Op.UNARY)
            if made is None or made.function not in _GATES or not self._once(x) or not _whole(node):
                continue
            _become(node, Op.GATE, [made.inputs[0], y], shape=(_GATES[made.function],))
            return True
        return False

    def rope(self, node: Node) -> bool:
        """``x * cosines + (-second half of x, first half of x) * sines``."""
        if not _whole(node):
            return False
        for straight, _, turned, _ in _both_ways(node):
            first = self._maker(straight, Op.BINARY, Function.MUL)
            second = self._maker(turned, Op.BINARY, Function.MUL)
            if first is None or second is None:
                continue
            for halves, halves_steps, sines, sines_steps in _both_ways(second):
                joined = self._maker(halves, Op.COPY)
                if joined is None or len(joined.inputs) != 2:
                    continue
                heads = joined.shape[0]
                size = self._widths[node.outputs[0]] // heads
                x = self._turned(joined, heads, size)
                if x is None or not _the_same(second.shape, halves_steps, sines_steps, heads, size):
                    continue
                for same, same_steps, cosines, cosines_steps in _both_ways(first):
                    if _is_value(same, x) and _the_same(first.shape, same_steps, cosines_steps, heads, size):
                        _become(node, Op.ROPE, [x, cosines, sines], shape=(heads, size))
                        return True
        return False

    def _turned(self, joined: Node, heads: int, size: int) -> int | None:
        """What the halves of are joined the other way around, the second negated."""
        low = self._maker(joined.inputs[1], Op.COPY)
        high = self._negated(joined.inputs[0])
        if low is None or high is None or len(low.inputs) != 1 or len(high.inputs) != 1:
            return None
        if not _is_value(low.inputs[0], high.inputs[0]):
            return None
        x, half = low.inputs[0], size // 2
        shape, steps = ((heads, half), (size, 1)) if heads > 1 else ((half,), (1,))
        for part, offset in ((low, 0), (high, half)):
            if part.shape != shape or part.stride_a != steps or part.offset != offset:
                return None
        return x if isinstance(x, int) and self._widths[x] == heads * size and size == 2 * half else None

    def _negated(self, operand: Operand) -> Node | None:
        negated = self._maker(operand, Op.UNARY, Function.NEG)
        if negated is not None:
            return self._maker(negated.inputs[0], Op.COPY)
        product = self._maker(operand, Op.BINARY, Function.MUL)
        for x, _, factor, _ in _both_ways(product) if product else []:
            if _number(factor) == -1:
                return self._maker(x, Op.COPY)
        return None

    def _is_square(self, operand: Operand, x: Operand) -> bool:
        if not isinstance(x, int):
            return False
        square = self._maker(operand, Op.UNARY, Function.SQUARE)
        if square is not None:
            return _is_value(square.inputs[0], x)
        product = self._maker(operand, Op.BINARY, Function.MUL)
        return (
            product is not None and _whole(product) and all(_is_value(factor, x) for factor in product.inputs)
        )

    def _maker(self, operand: Operand, op: Op, function: Function | None = None) -> Node | None:
        node = self._makers.get(operand) if isinstance(operand, int) else None
        if node is None or node.op is not op or (function is not None and node.function is not function):
            return None
        return node

    def _once(self, operand: Operand) -> bool:
        return isinstance(operand, int) and self._uses[operand] == 1


_Steps = tuple[int, ...]


def _become(
    node: Node,
    op: Op,
    inputs: list[Operand],
    *,
    function: Function | None = None,
    shape: tuple[int, ...] = (),
    f: tuple[float, ...] = (),
) -> None:
    """Let a BINARY be something else that writes the same value."""
    node.op, node.inputs, node.function, node.shape, node.f = op, inputs, function, shape, f
    node.stride_a = node.stride_b = ()


def _is_value(operand: Operand, value: Operand) -> bool:
    """Whether an operand is that value, not a constant."""
    return isinstance(operand, int) and isinstance(value, int) and operand == value


def _both_ways(node: Node) -> list[tuple[Operand, _Steps, Operand, _Steps]]:
    """The operands of a BINARY and how they are read, in both orders."""
    left, right = node.inputs
    return [
        (left, node.stride_a, right, node.stride_b),
        (right, node.stride_b, left, node.stride_a),
    ]


def _number(operand: Operand) -> float | None:
    """The value of a constant of one number."""
    if isinstance(operand, int) or operand.size != 1 or not np.isfinite(operand).all():
        return None
    return float(operand.item())


def _whole(node: Node) -> bool:
    """Whether a BINARY goes through both operands in the order in which they lie."""
    return len(node.shape) == 1 and node.stride_a == node.stride_b and node.stride_a in ((1,), (0,))


def _a_group(shape: _Steps, x: _Steps, other: _Steps, groups: int, size: int) -> bool:
    """Whether a BINARY combines all numbers of each group with one of its own."""
    if groups == 1:
        return shape == (size,) and x == (1,) and other == (0,)
    return shape == (groups, size) and x == (size, 1) and other == (1, 0)


def _the_same(shape: _Steps, x: _Steps, other: _Steps, groups: int, size: int) -> bool:
    """Whether a BINARY combines the numbers of each group with the same numbers."""
    if groups == 1:
        return shape == (size,) and x == (1,) and other == (1,)
    return shape == (groups, size) and x == (size, 1) and other == (0, 1)
