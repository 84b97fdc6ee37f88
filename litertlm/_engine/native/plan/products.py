"""Operators that use weights: matrix products and look-ups of embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from litertlm._engine.native.plan.graph import Array, Node
from litertlm._engine.native.plan.steps import Function, Op
from litertlm._engine.native.plan.symbols import Fixed, Row, Stored, Symbol, Token
from litertlm._engine.native.plan.tflite import Operator
from litertlm._engine.native.plan.trace import Trace
from litertlm._engine.native.plan.weights import matrix_of

__all__ = ["dequantize", "embedding_lookup", "fully_connected", "gather"]

_MOST_GROUPS = 512


def fully_connected(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """FULLY_CONNECTED with weights of the file."""
    x, weights = inputs[:2]
    if not isinstance(x, Row) or not isinstance(weights, Stored):
        return [trace.refuse(operator, inputs)]
    activation = operator.option(0, "b")
    if operator.option(1, "b") != 0 or activation not in (0, 1):
        operator.refuse("its options are not known")
    matrix = matrix_of(weights)
    if not x.shape or math.prod(x.shape) % matrix.columns:
        operator.fail(f"multiplies shape {x.shape} with weights of {matrix.columns} columns")
    bias: Array | None = None
    if len(inputs) > 2 and inputs[2] is not None:
        bias = trace.floats(inputs[2])
        if bias is None or bias.size != matrix.rows:
            operator.refuse("its bias is not a constant of a number for each output")
        bias = bias.ravel()
    groups = math.prod(x.shape) // matrix.columns
    if groups > _MOST_GROUPS:
        operator.refuse(f"it is applied {groups} times")
    parts = []
    for group in range(groups):
        value = x.value
        if groups > 1:
            value = trace.graph.add(
                Node(
                    Op.COPY,
                    [x.value],
                    [trace.graph.value(matrix.columns)],
                    operator,
                    shape=(matrix.columns,),
                    stride_a=(1,),
                    offset=group * matrix.columns,
                )
            )
        parts.append(
            trace.graph.add(
                Node(
                    Op.LINEAR,
                    [value],
                    [trace.graph.value(matrix.rows)],
                    operator,
                    matrices=[matrix],
                    biases=[bias],
                )
            )
        )
    out = parts[0]
    width = groups * matrix.rows
    if groups > 1:
        out = trace.graph.add(Node(Op.COPY, [*parts], [trace.graph.value(width)], operator, shape=(1,)))
    if activation:
        out = trace.graph.add(Node(Op.UNARY, [out], [trace.graph.value(width)], operator, Function.RELU))
    shape = (*x.shape[:-1], matrix.rows) if operator.option(2, "?") else (groups, matrix.rows)
    if math.prod(shape) != width:
        operator.refuse(f"it is applied to shape {x.shape}")
    return [Row(out, shape)]


def embedding_lookup(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """EMBEDDING_LOOKUP of the token."""
    return [_embed(trace, operator, inputs[0], inputs[1], inputs)]


def gather(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """GATHER of rows of a table by the token."""
    if operator.option(0, "i") != 0 or operator.option(1, "i") != 0:
        return [trace.refuse(operator, inputs)]
    if operator.graph.tensor(operator.outputs[0]).type != "float32":
        operator.refuse("its output is not of float32")
    return [_embed(trace, operator, inputs[1], inputs[0], inputs)]


def dequantize(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """DEQUANTIZE of weights: they are used as they are, but with float activations."""
    (x,) = inputs
    if not isinstance(x, Stored):
        return [trace.refuse(operator, inputs)]
    if x.tensor.is_quantised:
        return [replace(x, dequantised=True)]
    array = trace.array(x)
    if array is None or array.dtype != np.float16:
        return [trace.refuse(operator, inputs)]
    return [Fixed(array.astype(np.float32))]


def _embed(
    trace: Trace, operator: Operator, token: Symbol | None, table: Symbol | None, inputs: list[Symbol | None]
) -> Symbol:
    if not isinstance(token, Token) or not isinstance(table, Stored):
        return trace.refuse(operator, inputs)
    matrix = matrix_of(table, table=True)
    out = trace.graph.value(matrix.columns)
    trace.graph.add(Node(Op.EMBED, [], [out], operator, matrices=[matrix], f=(1.0,)))
    return Row(out, (*token.shape, matrix.columns))
