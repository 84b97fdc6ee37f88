"""Operators that only move numbers: reshapes, transposes, slices, concatenations, repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from litertlm._engine.native.plan import attention
from litertlm._engine.native.plan.graph import Node, Operand, coalesce, strides_of
from litertlm._engine.native.plan.steps import Op
from litertlm._engine.native.plan.symbols import (
    Cache,
    Fixed,
    Index,
    Mask,
    Near,
    Position,
    Row,
    Shape,
    Symbol,
    Token,
)
from litertlm._engine.native.plan.tflite import Operator
from litertlm._engine.native.plan.trace import Trace

__all__ = [
    "broadcast_to",
    "concatenation",
    "dynamic_update_slice",
    "pack",
    "reshape",
    "slice_",
    "split",
    "strided_slice",
    "transpose",
]


def reshape(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: another shape for the same numbers.

    What the operator says of it is not read: the output's shape must hold the same number of elements, and
    then there is only one way.
    """
    x = inputs[0]
    shape = operator.graph.tensor(operator.outputs[0]).shape
    if x is None or math.prod(x.shape) != math.prod(shape):
        operator.refuse(f"its output is of shape {shape}")
    if isinstance(x, Row | Token | Position):
        return [replace(x, shape=shape)]
    if isinstance(x, Mask | Near) and shape and shape[-1] == x.shape[-1]:
        return [replace(x, shape=shape)]
    array = trace.array(x)
    if array is None:
        return [trace.refuse(operator, inputs)]
    return [Fixed(array.reshape(shape))]


def transpose(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """TRANSPOSE."""
    x = inputs[0]
    order = trace.integers(operator, inputs[1], "the order of its dimensions")
    if x is None or sorted(order) != list(range(len(x.shape))):
        operator.refuse(f"its order of dimensions is {order}")
    if isinstance(x, Cache):
        return [attention.transpose_cache(operator, x, order)]
    if isinstance(x, Row):
        strides = strides_of(x.shape)
        return [_view(trace, operator, x, [x.shape[i] for i in order], [strides[i] for i in order], 0)]
    array = trace.array(x)
    if array is None:
        return [trace.refuse(operator, inputs)]
    return [Fixed(array.transpose(order))]


def slice_(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """SLICE: from a place on, so many elements in each dimension, -1 for all."""
    x = inputs[0]
    if not isinstance(x, Row):
        return [trace.refuse(operator, inputs)]
    begin = trace.integers(operator, inputs[1], "where it begins")
    size = trace.integers(operator, inputs[2], "its size")
    if len(begin) != len(x.shape) or len(size) != len(x.shape):
        operator.fail(f"slices shape {x.shape} at {begin}, {size}")
    size = tuple(
        whole - at if count == -1 else count for whole, at, count in zip(x.shape, begin, size, strict=True)
    )
    return [_slice(trace, operator, x, begin, size, [1] * len(size))]


def strided_slice(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """STRIDED_SLICE: as in Python, with positive steps."""
    x = inputs[0]
    if not isinstance(x, Row):
        return [trace.refuse(operator, inputs)]
    begins, ends, steps = (
        trace.integers(operator, symbol, "where it begins and ends") for symbol in inputs[1:4]
    )
    rank = len(x.shape)
    from_start, to_end, ellipsis, new, dropped = (int(operator.option(field, "i")) for field in range(5))
    if ellipsis or new or {len(begins), len(ends), len(steps)} != {rank} or any(step < 1 for step in steps):
        operator.refuse("it slices in a way that is not known")
    begin, size = [], []
    for axis, whole in enumerate(x.shape):
        first, last, step = slice(
            None if from_start >> axis & 1 else begins[axis],
            None if to_end >> axis & 1 else ends[axis],
            steps[axis],
        ).indices(whole)
        if dropped >> axis & 1:
            first = begins[axis] + (whole if begins[axis] < 0 else 0)
            last = first + 1
        begin.append(first)
        size.append(max(0, -(-(last - first) // step)))
    row = _slice(trace, operator, x, begin, size, steps)
    return [Row(row.value, tuple(n for axis, n in enumerate(row.shape) if not dropped >> axis & 1))]


def split(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """SPLIT into equal parts."""
    x = inputs[1]
    count = len(operator.outputs)
    along = trace.integers(operator, inputs[0], "along which dimension it goes")
    if not isinstance(x, Row) or len(along) != 1:
        return [trace.refuse(operator, inputs)]
    axis = _axis(operator, along[0], len(x.shape))
    if x.shape[axis] % count:
        operator.fail(f"splits {x.shape[axis]} into {count} equal parts")
    size = [*x.shape]
    size[axis] //= count
    parts = []
    for number in range(count):
        begin = [0] * len(size)
        begin[axis] = number * size[axis]
        parts.append(_slice(trace, operator, x, begin, size, [1] * len(size)))
    return parts


def concatenation(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """CONCATENATION along a dimension."""
    if operator.option(1, "b") != 0:
        operator.refuse("it has an activation")
    first = inputs[0]
    if first is None:
        return [trace.refuse(operator, inputs)]
    axis = _axis(operator, int(operator.option(0, "i")), len(first.shape))
    masks = [symbol for symbol in inputs if isinstance(symbol, Mask)]
    if len(masks) == len(inputs):
        return [attention.concatenate_masks(operator, axis, masks)]
    if any(isinstance(symbol, Position) for symbol in inputs):
        return [_index(trace, operator, inputs, (1,))]
    return [_join(trace, operator, inputs, axis)]


def pack(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """PACK: tensors of the same shape along a new dimension."""
    if any(isinstance(symbol, Position) for symbol in inputs):
        return [_index(trace, operator, inputs, ())]
    first = inputs[0]
    if first is None or any(symbol is None or symbol.shape != first.shape for symbol in inputs):
        return [trace.refuse(operator, inputs)]
    axis = _axis(operator, int(operator.option(1, "i")), len(first.shape) + 1)
    shape = (*first.shape[:axis], 1, *first.shape[axis:])
    widened: list[Symbol | None] = []
    for symbol in inputs:
        if isinstance(symbol, Row):
            widened.append(Row(symbol.value, shape))
        else:
            array = trace.floats(symbol)
            if array is None:
                return [trace.refuse(operator, inputs)]
            widened.append(Fixed(array.reshape(shape)))
    return [_join(trace, operator, widened, axis)]


def broadcast_to(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """BROADCAST_TO a shape."""
    x = inputs[0]
    shape = trace.integers(operator, inputs[1], "its shape")
    if not isinstance(x, Row) or len(shape) < len(x.shape) or any(size < 1 for size in shape):
        return [trace.refuse(operator, inputs)]
    sizes = (*[1] * (len(shape) - len(x.shape)), *x.shape)
    if any(size not in (1, whole) for size, whole in zip(sizes, shape, strict=True)):
        operator.fail(f"repeats shape {x.shape} to {shape}")
    strides = [0 if size == 1 else step for size, step in zip(sizes, strides_of(sizes), strict=True)]
    return [_view(trace, operator, x, shape, strides, 0)]


def dynamic_update_slice(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """DYNAMIC_UPDATE_SLICE of a cache."""
    cache, row, index = inputs
    if not isinstance(cache, Cache) or not isinstance(row, Row) or not isinstance(index, Index):
        return [trace.refuse(operator, inputs)]
    return [attention.update(trace, operator, cache, row, index.entries)]


def _slice(
    trace: Trace,
    operator: Operator,
    x: Row,
    begin: Sequence[int],
    size: Sequence[int],
    steps: Sequence[int],
) -> Row:
    for whole, at, count, step in zip(x.shape, begin, size, steps, strict=True):
        if at < 0 or count < 1 or at + (count - 1) * step >= whole:
            operator.fail(f"slices shape {x.shape} at {tuple(begin)}, {tuple(size)}")
    strides = strides_of(x.shape)
    offset = sum(at * stride for at, stride in zip(begin, strides, strict=True))
    moved = [step * stride for step, stride in zip(steps, strides, strict=True)]
    return _view(trace, operator, x, size, moved, offset)


def _view(
    trace: Trace, operator: Operator, x: Row, shape: Sequence[int], strides: Sequence[int], offset: int
) -> Row:
    """Some numbers of a value in some order; nothing but a name when it is all of them in theirs."""
    full = tuple(shape)
    width = math.prod(full)
    sizes, (steps,) = coalesce(full, strides)
    if sizes == (math.prod(x.shape),) and (steps == (1,) or width == 1):
        return Row(x.value, full)
    if len(sizes) > 4:
        operator.refuse("its dimensions are too many")
    out = trace.graph.value(width)
    trace.graph.add(Node(Op.COPY, [x.value], [out], operator, shape=sizes, stride_a=steps, offset=offset))
    return Row(out, full)


def _join(trace: Trace, operator: Operator, inputs: Sequence[Symbol | None], axis: int) -> Symbol:
    operands: list[Operand] = []
    shapes: list[Shape] = []
    for symbol in inputs:
        if isinstance(symbol, Row):
            operands.append(symbol.value)
            shapes.append(symbol.shape)
            continue
        array = trace.floats(symbol)
        if array is None:
            return trace.refuse(operator, inputs)
        operands.append(array.ravel())
        shapes.append(array.shape)
    first = shapes[0]
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rest) != 1 or any(len(shape) != len(first) for shape in shapes):
        operator.fail(f"joins the shapes {', '.join(map(str, shapes))} along dimension {axis}")
    whole = (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])
    if len(operands) == 1 and isinstance(inputs[0], Row):
        return inputs[0]
    if not any(isinstance(operand, int) for operand in operands):
        arrays = [trace.floats(symbol) for symbol in inputs]
        return Fixed(np.concatenate([array for array in arrays if array is not None], axis))
    out = trace.graph.value(math.prod(whole))
    trace.graph.add(Node(Op.COPY, operands, [out], operator, shape=(math.prod(first[:axis]),)))
    return Row(out, whole)


def _index(trace: Trace, operator: Operator, inputs: Sequence[Symbol | None], shape: Shape) -> Index:
    """Numbers of which some are the position, put together."""
    entries: list[int | None] = []
    for symbol in inputs:
        if isinstance(symbol, Position):
            if symbol.shift or symbol.shape != shape:
                operator.refuse("an index is not the row's position itself")
            entries.append(None)
        else:
            array = trace.array(symbol)
            if array is None or array.shape != shape or array.dtype.kind != "i":
                trace.refuse(operator, inputs)
            else:
                entries.append(int(array.item()))
    return Index(tuple(entries))


def _axis(operator: Operator, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        operator.fail(f"it goes along dimension {axis} of {rank}")
    return axis % rank
