"""Operators that compute: on values of the row, on the position, on constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from litertlm._engine.native.plan import attention
from litertlm._engine.native.plan.graph import Array, Node, Operand, coalesce, strides_of
from litertlm._engine.native.plan.steps import Function, Op
from litertlm._engine.native.plan.symbols import Fixed, Mask, Position, Row, Scores, Symbol, Token
from litertlm._engine.native.plan.tflite import Operator
from litertlm._engine.native.plan.trace import Handle, Trace, broadcast

__all__ = ["binary", "cast", "reduce", "softmax", "unary"]

_MOST_SHIFT = 1 << 24  # up to here, integers are exact as float32

_ON_ARRAYS: dict[Function, Callable[..., Any]] = {
    Function.ADD: np.add,
    Function.SUB: np.subtract,
    Function.MUL: np.multiply,
    Function.MAXIMUM: np.maximum,
    Function.MINIMUM: np.minimum,
    Function.NEG: np.negative,
    Function.ABS: np.abs,
    Function.EXP: np.exp,
    Function.SQRT: np.sqrt,
    Function.SQUARE: np.square,
    Function.COS: np.cos,
    Function.SIN: np.sin,
}


def binary(function: Function) -> Handle:
    """The operator that applies a function to two tensors, element by element."""

    def handle(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
        if inputs[0] is None or inputs[1] is None:
            return [trace.refuse(operator, inputs)]
        left, right = inputs[0], inputs[1]
        found: Symbol
        if isinstance(left, Mask | Scores) or isinstance(right, Mask | Scores):
            found = _on_scores(trace, operator, function, left, right)
        elif isinstance(left, Position) or isinstance(right, Position):
            found = _on_position(trace, operator, function, left, right)
        elif isinstance(left, Token) or isinstance(right, Token):
            found = _on_token(trace, operator, function, left, right)
        elif isinstance(left, Row) or isinstance(right, Row):
            found = _on_rows(trace, operator, function, left, right)
        else:
            found = _on_constants(trace, operator, function, [left, right])
        return [_activate(trace, operator, found)]

    return handle


def unary(function: Function) -> Handle:
    """The operator that applies a function to each element of a tensor."""

    def handle(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
        (x,) = inputs
        if isinstance(x, Scores) and function is Function.TANH:
            return [attention.tanh(trace, operator, x)]
        if isinstance(x, Row):
            chosen = function
            if function is Function.GELU and operator.option(0, "?"):
                chosen = Function.GELU_TANH
            return [_apply(trace, operator, chosen, x)]
        return [_on_constants(trace, operator, function, inputs)]

    return handle


def reduce(function: Function) -> Handle:
    """The operator that applies a function over some dimensions of a tensor."""

    def handle(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
        x = inputs[0]
        if not isinstance(x, Row):
            return [trace.refuse(operator, inputs)]
        rank = len(x.shape)
        given = trace.integers(operator, inputs[1], "which dimensions it goes over")
        if any(not -rank <= axis < rank for axis in given):
            operator.refuse(f"it goes over the dimensions {given} of {rank}")
        axes = {axis % rank for axis in given}
        kept = [axis for axis in range(rank) if axis not in axes]
        order = [*kept, *sorted(axes)]
        strides = strides_of(x.shape)
        shape, (step,) = coalesce([x.shape[axis] for axis in order], [strides[axis] for axis in order])
        value = x.value
        width = math.prod(x.shape)
        if shape != (width,) or step not in ((0,), (1,)):  # otherwise it lies as it is needed
            if len(shape) > 4:
                operator.refuse("its dimensions are too many")
            value = trace.graph.add(
                Node(Op.COPY, [value], [trace.graph.value(width)], operator, shape=shape, stride_a=step)
            )
        groups = math.prod(x.shape[axis] for axis in kept)
        out = trace.graph.value(groups)
        size = width // groups
        trace.graph.add(Node(Op.REDUCE, [value], [out], operator, function, shape=(groups, size)))
        if operator.option(0, "?"):
            return [Row(out, tuple(1 if axis in axes else x.shape[axis] for axis in range(rank)))]
        return [Row(out, tuple(x.shape[axis] for axis in kept))]

    return handle


def softmax(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """SOFTMAX over the last dimension."""
    (x,) = inputs
    if operator.option(0, "f") != 1:
        operator.refuse(f"its beta is {operator.option(0, 'f')}")
    if isinstance(x, Scores):
        return [attention.softmax(trace, operator, x)]
    if not isinstance(x, Row) or not x.shape:
        return [trace.refuse(operator, inputs)]
    width = math.prod(x.shape)
    out = trace.graph.value(width)
    trace.graph.add(Node(Op.SOFTMAX, [x.value], [out], operator, shape=(width // x.shape[-1], x.shape[-1])))
    return [Row(out, x.shape)]


def cast(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """CAST of the position to a float, and of integers to other integers."""
    (x,) = inputs
    target = operator.graph.tensor(operator.outputs[0]).type
    if isinstance(x, Position) and target == "float32":
        value = trace.position(operator)
        if x.shift:
            shifted = trace.graph.value(1)
            shift: Array = np.array([x.shift], np.float32)
            trace.graph.add(
                Node(
                    Op.BINARY,
                    [value, shift],
                    [shifted],
                    operator,
                    Function.ADD,
                    shape=(1,),
                    stride_a=(0,),
                    stride_b=(0,),
                )
            )
            value = shifted
        return [Row(value, x.shape)]
    if isinstance(x, Position | Token) and target in ("int32", "int64"):
        return [x]
    array = trace.array(x)
    if array is None or array.dtype.kind != "i" or target not in ("float32", "int32", "int64"):
        return [trace.refuse(operator, inputs)]
    return [Fixed(array.astype(target))]


def _apply(trace: Trace, operator: Operator, function: Function, x: Row) -> Row:
    out = trace.graph.value(math.prod(x.shape))
    trace.graph.add(Node(Op.UNARY, [x.value], [out], operator, function))
    return Row(out, x.shape)


def _activate(trace: Trace, operator: Operator, found: Symbol) -> Symbol:
    """Apply the activation that an operator may have built in."""
    if operator.name not in ("ADD", "SUB", "MUL", "DIV"):
        return found
    kind = operator.option(0, "b")
    if kind == 0:
        return found
    if kind != 1 or not isinstance(found, Row):
        operator.refuse(f"its activation {kind} is not known")
    return _apply(trace, operator, Function.RELU, found)


def _on_scores(trace: Trace, operator: Operator, function: Function, left: Symbol, right: Symbol) -> Symbol:
    if function is Function.ADD:
        return attention.add(trace, operator, left, right)
    if isinstance(right, Scores) and function is Function.MUL:
        left, right = right, left
    factor = trace.floats(right)
    if isinstance(left, Scores) and factor is not None and factor.size == 1:
        number = float(factor.item())
        if function is Function.MUL:
            return attention.scale(operator, left, number)
        if function is Function.DIV and number:
            return attention.scale(operator, left, 1 / number)
    return trace.refuse(operator, [left, right])


def _on_position(trace: Trace, operator: Operator, function: Function, left: Symbol, right: Symbol) -> Symbol:
    if isinstance(right, Position) and function is Function.ADD:
        left, right = right, left
    shift = trace.array(right)
    if not isinstance(left, Position) or shift is None or shift.size != 1 or shift.dtype.kind != "i":
        return trace.refuse(operator, [left, right])
    if function not in (Function.ADD, Function.SUB):
        operator.refuse("the position is only added to and subtracted from")
    total = left.shift + int(shift.item()) * (1 if function is Function.ADD else -1)
    if abs(total) >= _MOST_SHIFT:
        operator.refuse(f"the position is moved by {total}")
    return Position(total, np.broadcast_shapes(left.shape, shift.shape))


def _on_token(trace: Trace, operator: Operator, function: Function, left: Symbol, right: Symbol) -> Symbol:
    token, other = (left, right) if isinstance(left, Token) else (right, left)
    least = trace.array(other)
    if not isinstance(token, Token) or least is None or least.size != 1 or least.dtype.kind != "i":
        return trace.refuse(operator, [left, right])
    if function is not Function.MAXIMUM or least.item() > 0:  # token ids are not below 0
        operator.refuse("the token is computed with")
    return Token(np.broadcast_shapes(token.shape, least.shape))


def _on_constants(
    trace: Trace, operator: Operator, function: Function, inputs: Sequence[Symbol | None]
) -> Symbol:
    arrays = [trace.floats(symbol) for symbol in inputs]
    compute = _ON_ARRAYS.get(function)
    if compute is None or any(array is None for array in arrays):
        return trace.refuse(operator, inputs)
    trace.count(math.prod(broadcast(operator, *(array.shape for array in arrays if array is not None))))
    with np.errstate(all="ignore"):
        return Fixed(np.asarray(compute(*arrays), np.float32))


def _on_rows(trace: Trace, operator: Operator, function: Function, left: Symbol, right: Symbol) -> Symbol:
    operands: list[Operand] = []
    for symbol in (left, right):
        if isinstance(symbol, Row):
            operands.append(symbol.value)
        else:
            array = trace.floats(symbol)
            if array is None:
                return trace.refuse(operator, [left, right])
            operands.append(array.ravel())
    full = broadcast(operator, left.shape, right.shape)
    steps = []
    for symbol in (left, right):
        missing = len(full) - len(symbol.shape)
        strides = (*[0] * missing, *strides_of(symbol.shape))
        sizes = (*[1] * missing, *symbol.shape)
        steps.append([0 if size == 1 else stride for size, stride in zip(sizes, strides, strict=True)])
    shape, (stride_a, stride_b) = coalesce(full, *steps)
    if len(shape) > 4:
        operator.refuse("its dimensions are too many")
    out = trace.graph.value(math.prod(full))
    trace.graph.add(
        Node(
            Op.BINARY,
            operands,
            [out],
            operator,
            function,
            shape=shape,
            stride_a=stride_a,
            stride_b=stride_b,
        )
    )
    return Row(out, full)
