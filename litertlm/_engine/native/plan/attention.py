"""Attention: from the update of a KV cache to the product with the values, recognised exactly.

What the exports of decoders do, for a row at position ``p``::

    keys    = DYNAMIC_UPDATE_SLICE(cache, k, [0, 0, p, 0])
    values  = DYNAMIC_UPDATE_SLICE(cache, v, [0, 0, 0, p])
    scores  = BATCH_MATMUL(q, keys) [* scale] [tanh * cap] + mask
    out     = BATCH_MATMUL(SOFTMAX(scores), values)

The mask is the input of that name, which the runtime fills with 0 up to the row's position and with a large
negative number after it; for sliding windows the graph adds one of its own, made by comparing a constant
0, 1, 2... with the position. Queries are ``[1, kv_heads, heads of each, head_dim]``; the mask is repeated
for the heads of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from litertlm._engine.native.plan.graph import Node
from litertlm._engine.native.plan.steps import Op
from litertlm._engine.native.plan.symbols import (
    Cache,
    Mask,
    Near,
    Position,
    Row,
    Scores,
    Symbol,
)
from litertlm._engine.native.plan.tflite import Operator
from litertlm._engine.native.plan.trace import AttendedCache, Trace, broadcast

__all__ = [
    "add",
    "batch_matmul",
    "compare",
    "concatenate_masks",
    "logical_and",
    "scale",
    "select",
    "softmax",
    "tanh",
    "transpose_cache",
    "update",
]

_HIDDEN = -1e4  # what is hidden gets at most this: exp() of it is 0 beside any score


def compare(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """LESS and the like: positions of the cache, compared with the row's."""
    name = operator.name
    left, right = inputs
    if isinstance(left, Position):
        left, right = right, left
        name = name.replace("LESS", "?").replace("GREATER", "LESS").replace("?", "GREATER")
    positions = trace.array(left)
    if positions is None or not isinstance(right, Position) or not positions.ndim:
        return [trace.refuse(operator, inputs)]
    length = positions.shape[-1]
    if positions.dtype.kind != "i" or not np.array_equal(positions.ravel(), np.arange(length)):
        operator.refuse("the position is not compared with 0, 1, 2...")
    shift = right.shift
    shape = broadcast(operator, positions.shape, right.shape)
    if name == "GREATER":
        return [Near(shift + 1, None, shape)]
    if name == "GREATER_EQUAL":
        return [Near(shift, None, shape)]
    if name == "LESS":
        return [Near(None, shift - 1, shape)]
    return [Near(None, shift, shape)]


def logical_and(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """LOGICAL_AND of two comparisons of positions."""
    left, right = inputs
    if not isinstance(left, Near) or not isinstance(right, Near) or left.shape != right.shape:
        return [trace.refuse(operator, inputs)]
    low = max((end for end in (left.low, right.low) if end is not None), default=None)
    high = min((end for end in (left.high, right.high) if end is not None), default=None)
    return [Near(low, high, left.shape)]


def select(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """SELECT_V2 of 0 where positions are near and of a large negative number elsewhere: a mask."""
    near = inputs[0]
    shown, hidden = (trace.floats(symbol) for symbol in inputs[1:3])
    if not isinstance(near, Near) or shown is None or hidden is None or shown.size != 1 or hidden.size != 1:
        return [trace.refuse(operator, inputs)]
    if shown.item() != 0 or not hidden.item() <= _HIDDEN:
        operator.refuse(f"selects {shown.item()} and {hidden.item()}, which is no mask")
    if (near.high is not None and near.high < 0) or (near.low is not None and near.low > 0):
        operator.refuse("the row cannot look at its own position")
    return [Mask(near.high == 0, 0 if near.low is None else 1 - near.low, near.shape)]


def add(trace: Trace, operator: Operator, left: Symbol, right: Symbol) -> Symbol:
    """ADD of a mask to another, or to scores."""
    if not isinstance(right, Mask):
        left, right = right, left
    if isinstance(left, Mask) and isinstance(right, Mask):
        windows = [mask.window for mask in (left, right) if mask.window]
        shape = broadcast(operator, left.shape, right.shape)
        return Mask(left.causal or right.causal, min(windows, default=0), shape)
    if isinstance(left, Scores) and isinstance(right, Mask) and left.mask is None and not left.normalised:
        if broadcast(operator, left.shape, right.shape) != left.shape or right.shape[-1] != left.shape[-1]:
            operator.refuse(f"a mask of shape {right.shape} is added to scores of shape {left.shape}")
        return replace(left, mask=right)
    return trace.refuse(operator, [left, right])


def concatenate_masks(operator: Operator, axis: int, masks: Sequence[Mask]) -> Mask:
    """CONCATENATION of a mask with itself, which repeats it for several heads."""
    first = masks[0]
    if any(mask != first for mask in masks) or first.shape[axis] != 1 or axis == len(first.shape) - 1:
        operator.refuse("joins masks that are not the same")
    return replace(first, shape=(*first.shape[:axis], len(masks), *first.shape[axis + 1 :]))


def scale(operator: Operator, scores: Scores, factor: float) -> Symbol:
    """MUL of scores and a number, before a tanh or after it."""
    if scores.mask is not None or scores.normalised or not math.isfinite(factor):
        operator.refuse(f"masked attention scores are multiplied with {factor}")
    if scores.squashed:
        return replace(scores, cap=scores.cap * factor)
    return replace(scores, scale=scores.scale * factor)


def tanh(trace: Trace, operator: Operator, scores: Scores) -> Symbol:
    """TANH of scores."""
    if scores.mask is not None or scores.normalised or scores.squashed:
        return trace.refuse(operator, [scores])
    return replace(scores, squashed=True)


def softmax(trace: Trace, operator: Operator, scores: Scores) -> Symbol:
    """SOFTMAX of scores."""
    if scores.normalised or scores.mask is None:
        return trace.refuse(operator, [scores])
    if not scores.mask.causal:
        operator.refuse("positions after the row's are not hidden")
    return replace(scores, normalised=True)


def update(trace: Trace, operator: Operator, cache: Cache, row: Row, index: Sequence[int | None]) -> Symbol:
    """DYNAMIC_UPDATE_SLICE of a cache at the row's position."""
    if cache.axes:
        operator.refuse(f"the cache {cache.name!r} is updated twice")
    moving = [axis for axis, entry in enumerate(index) if entry is None]
    if len(cache.shape) != 4 or len(index) != 4 or cache.shape[0] != 1 or len(moving) != 1 or moving == [0]:
        operator.refuse(f"a cache of shape {cache.shape} is updated at {tuple(index)}")
    axis = moving[0]
    if any(entry != 0 for entry in index if entry is not None):
        operator.refuse("a part of a cache is updated")
    expected = (*cache.shape[:axis], 1, *cache.shape[axis + 1 :])
    if row.shape != expected:
        operator.refuse(f"a cache of shape {cache.shape} is updated with shape {row.shape}")
    trace.contexts.add(cache.shape[axis])
    axes = ["batch", "head", "channel"]
    axes.insert(axis, "position")
    return replace(cache, axes=tuple(axes), row=row.value)


def transpose_cache(operator: Operator, cache: Cache, order: Sequence[int]) -> Symbol:
    """TRANSPOSE of a cache: a layer that looks at the keys of an earlier one."""
    if not cache.axes:
        operator.refuse(f"the cache {cache.name!r} is used before it is updated")
    return replace(
        cache,
        shape=tuple(cache.shape[axis] for axis in order),
        axes=tuple(cache.axes[axis] for axis in order),
    )


def batch_matmul(trace: Trace, operator: Operator, inputs: list[Symbol | None]) -> Sequence[Symbol]:
    """BATCH_MATMUL of queries and keys, or of normalised scores and values."""
    left, cache = inputs
    if not isinstance(cache, Cache) or operator.option(0, "?"):
        return [trace.refuse(operator, inputs)]
    if not cache.axes:
        operator.refuse(f"the cache {cache.name!r} is used before it is updated")
    if operator.option(1, "?"):
        cache = replace(
            cache, shape=(*cache.shape[:2], *cache.shape[:1:-1]), axes=(*cache.axes[:2], *cache.axes[:1:-1])
        )
    if isinstance(left, Row) and cache.axes == ("batch", "head", "channel", "position"):
        _, heads, channels, length = cache.shape
        if len(left.shape) != 4 or left.shape[0] != 1 or left.shape[3] != channels:
            operator.refuse(f"queries of shape {left.shape} and keys of shape {cache.shape}")
        if left.shape[1] != heads and heads != 1:
            operator.refuse(f"queries of {left.shape[1]} heads and keys of {heads}")
        return [Scores(left, cache, (*left.shape[:3], length))]
    if (
        isinstance(left, Scores)
        and left.normalised
        and cache.axes == ("batch", "head", "position", "channel")
        and cache.shape[1] == left.keys.shape[1]
        and cache.shape[2] == left.shape[3]
        and cache.shape[3] == left.query.shape[3]
    ):
        return [_attend(trace, operator, left, cache)]
    return [trace.refuse(operator, inputs)]


def _attend(trace: Trace, operator: Operator, scores: Scores, values: Cache) -> Row:
    mask = scores.mask
    if mask is None:
        operator.refuse("the scores are not masked")
    window = 0 if mask.window >= scores.shape[3] else mask.window
    number = _cache(trace, operator, scores.keys, values)
    trace.caches[number].windows.append(window)
    factor, cap = scores.scale, 0.0
    if scores.squashed:
        cap = scores.cap
        factor *= cap
        if not cap > 0:
            operator.refuse(f"scores are capped at {cap}")
        if abs(factor - 1) < 1e-6:  # 1/cap * cap, rounded
            factor = 1.0
    shape = scores.query.shape
    heads = shape[1] * shape[2]
    out = trace.graph.value(heads * shape[3])
    trace.graph.add(
        Node(
            Op.ATTEND,
            [scores.query.value],
            [out],
            operator,
            shape=(heads, window),
            f=(factor, cap),
            cache=number,
        )
    )
    return Row(out, shape)


def _cache(trace: Trace, operator: Operator, keys: Cache, values: Cache) -> int:
    """The number of the cache that two inputs are; the first to ask has the row's own stored in it."""
    for number, cache in enumerate(trace.caches):
        if cache.keys == keys.name and cache.values == values.name:
            return number
        if {cache.keys, cache.values} & {keys.name, values.name}:
            operator.refuse(f"the keys {keys.name!r} and the values {values.name!r} are not a pair")
    number = len(trace.caches)
    heads, channels = values.shape[1], values.shape[3]
    trace.caches.append(AttendedCache(keys.name, values.name, heads, channels, []))
    trace.graph.add(Node(Op.KV_STORE, [keys.row, values.row], [], operator, cache=number))
    return number
