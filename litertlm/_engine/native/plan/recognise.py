"""Which operators are known, and what handles them."""

from __future__ import annotations

from collections.abc import Sequence

from litertlm._engine.native.plan import arithmetic, attention, layout, products
from litertlm._engine.native.plan.arithmetic import binary, reduce, unary
from litertlm._engine.native.plan.steps import Function
from litertlm._engine.native.plan.symbols import Symbol
from litertlm._engine.native.plan.tflite import Operator
from litertlm._engine.native.plan.trace import Handler, Trace

__all__ = ["HANDLERS"]

_MANY = 1 << 20


def _composite(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """STABLEHLO_COMPOSITE: whatever its name, it is what its decomposition says."""
    graph = operator.graph.model.graph(int(operator.option(1, "i")))
    return trace.inline(graph, operator, inputs)


HANDLERS: dict[str, Handler] = {
    "ABS": Handler(unary(Function.ABS), 1, 1),
    "ADD": Handler(binary(Function.ADD), 2, 2),
    "BATCH_MATMUL": Handler(attention.batch_matmul, 2, 2),
    "BROADCAST_TO": Handler(layout.broadcast_to, 2, 2),
    "CAST": Handler(arithmetic.cast, 1, 1),
    "CONCATENATION": Handler(layout.concatenation, 1, _MANY),
    "COS": Handler(unary(Function.COS), 1, 1),
    "DEQUANTIZE": Handler(products.dequantize, 1, 1),
    "DIV": Handler(binary(Function.DIV), 2, 2),
    "DYNAMIC_UPDATE_SLICE": Handler(layout.dynamic_update_slice, 3, 3),
    "EMBEDDING_LOOKUP": Handler(products.embedding_lookup, 2, 2),
    "EXP": Handler(unary(Function.EXP), 1, 1),
    "EXPAND_DIMS": Handler(layout.reshape, 2, 2),
    "FLOOR": Handler(unary(Function.FLOOR), 1, 1),
    "FULLY_CONNECTED": Handler(products.fully_connected, 2, 3),
    "GATHER": Handler(products.gather, 2, 2),
    "GELU": Handler(unary(Function.GELU), 1, 1),
    "GREATER": Handler(attention.compare, 2, 2),
    "GREATER_EQUAL": Handler(attention.compare, 2, 2),
    "LESS": Handler(attention.compare, 2, 2),
    "LESS_EQUAL": Handler(attention.compare, 2, 2),
    "LOG": Handler(unary(Function.LOG), 1, 1),
    "LOGICAL_AND": Handler(attention.logical_and, 2, 2),
    "LOGISTIC": Handler(unary(Function.LOGISTIC), 1, 1),
    "MAXIMUM": Handler(binary(Function.MAXIMUM), 2, 2),
    "MEAN": Handler(reduce(Function.MEAN), 2, 2),
    "MINIMUM": Handler(binary(Function.MINIMUM), 2, 2),
    "MUL": Handler(binary(Function.MUL), 2, 2),
    "NEG": Handler(unary(Function.NEG), 1, 1),
    "PACK": Handler(layout.pack, 1, _MANY),
    "POW": Handler(binary(Function.POW), 2, 2),
    "REDUCE_MAX": Handler(reduce(Function.MAX), 2, 2),
    "RELU": Handler(unary(Function.RELU), 1, 1),
    "RESHAPE": Handler(layout.reshape, 1, 2),
    "ROUND": Handler(unary(Function.ROUND), 1, 1),
    "RSQRT": Handler(unary(Function.RSQRT), 1, 1),
    "SELECT": Handler(attention.select, 3, 3),
    "SELECT_V2": Handler(attention.select, 3, 3),
    "SIN": Handler(unary(Function.SIN), 1, 1),
    "SLICE": Handler(layout.slice_, 3, 3),
    "SOFTMAX": Handler(arithmetic.softmax, 1, 1),
    "SPLIT": Handler(layout.split, 2, 2),
    "SQRT": Handler(unary(Function.SQRT), 1, 1),
    "SQUARE": Handler(unary(Function.SQUARE), 1, 1),
    "SQUEEZE": Handler(layout.reshape, 1, 1),
    "STABLEHLO_COMPOSITE": Handler(_composite, 0, _MANY),
    "STRIDED_SLICE": Handler(layout.strided_slice, 4, 4),
    "SUB": Handler(binary(Function.SUB), 2, 2),
    "SUM": Handler(reduce(Function.SUM), 2, 2),
    "TANH": Handler(unary(Function.TANH), 1, 1),
    "TRANSPOSE": Handler(layout.transpose, 2, 2),
}
