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


def _composite(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """STABLEHLO_COMPOSITE: whatever its name, it is what its decomposition says."""
    graph = operator.graph.model.graph(int(operator.option(1, "i")))
    return trace.inline(graph, operator, inputs)


HANDLERS: dict[str, Handler] = {
    "ABS": unary(Function.ABS),
    "ADD": binary(Function.ADD),
    "BATCH_MATMUL": attention.batch_matmul,
    "BROADCAST_TO": layout.broadcast_to,
    "CAST": arithmetic.cast,
    "CONCATENATION": layout.concatenation,
    "COS": unary(Function.COS),
    "DEQUANTIZE": products.dequantize,
    "DIV": binary(Function.DIV),
    "DYNAMIC_UPDATE_SLICE": layout.dynamic_update_slice,
    "EMBEDDING_LOOKUP": products.embedding_lookup,
    "EXP": unary(Function.EXP),
    "EXPAND_DIMS": layout.reshape,
    "FLOOR": unary(Function.FLOOR),
    "FULLY_CONNECTED": products.fully_connected,
    "GATHER": products.gather,
    "GELU": unary(Function.GELU),
    "GREATER": attention.compare,
    "GREATER_EQUAL": attention.compare,
    "LESS": attention.compare,
    "LESS_EQUAL": attention.compare,
    "LOG": unary(Function.LOG),
    "LOGICAL_AND": attention.logical_and,
    "LOGISTIC": unary(Function.LOGISTIC),
    "MAXIMUM": binary(Function.MAXIMUM),
    "MEAN": reduce(Function.MEAN),
    "MINIMUM": binary(Function.MINIMUM),
    "MUL": binary(Function.MUL),
    "NEG": unary(Function.NEG),
    "PACK": layout.pack,
    "POW": binary(Function.POW),
    "REDUCE_MAX": reduce(Function.MAX),
    "RELU": unary(Function.RELU),
    "RESHAPE": layout.reshape,
    "ROUND": unary(Function.ROUND),
    "RSQRT": unary(Function.RSQRT),
    "SELECT": attention.select,
    "SELECT_V2": attention.select,
    "SIN": unary(Function.SIN),
    "SLICE": layout.slice_,
    "SOFTMAX": arithmetic.softmax,
    "SPLIT": layout.split,
    "SQRT": unary(Function.SQRT),
    "SQUARE": unary(Function.SQUARE),
    "SQUEEZE": layout.reshape,
    "STABLEHLO_COMPOSITE": _composite,
    "STRIDED_SLICE": layout.strided_slice,
    "SUB": binary(Function.SUB),
    "SUM": reduce(Function.SUM),
    "TANH": unary(Function.TANH),
    "TRANSPOSE": layout.transpose,
}
