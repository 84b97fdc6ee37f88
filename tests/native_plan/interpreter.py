"""A plan, run row by row in numpy: slow, and short enough to be read and believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from litertlm._engine.native.plan import NONE, Activation, Function, Matrix, Op, Plan, Step, WeightFormat

Row = np.ndarray


def _erf(x: Row) -> Row:
    return np.array([math.erf(value) for value in x.ravel()]).reshape(x.shape)


def _silu(x: Row) -> Row:
    return x / (1 + np.exp(-x))


def _gelu(x: Row) -> Row:
    return 0.5 * x * (1 + _erf(x / np.sqrt(2)))


def _gelu_tanh(x: Row) -> Row:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _logistic(x: Row) -> Row:
    return 1 / (1 + np.exp(-x))


def _relu(x: Row) -> Row:
    return np.maximum(x, 0)


UNARY: dict[Function, Callable[[Row], Row]] = {
    Function.NEG: np.negative,
    Function.ABS: np.abs,
    Function.EXP: np.exp,
    Function.LOG: np.log,
    Function.SQRT: np.sqrt,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
    Function.SQUARE: np.square,
    Function.TANH: np.tanh,
    Function.LOGISTIC: _logistic,
    Function.COS: np.cos,
    Function.SIN: np.sin,
    Function.SILU: _silu,
    Function.GELU: _gelu,
    Function.GELU_TANH: _gelu_tanh,
    Function.RELU: _relu,
    Function.FLOOR: np.floor,
    Function.ROUND: np.rint,
}
BINARY: dict[Function, Callable[[Row, Row], Row]] = {
    Function.ADD: np.add,
    Function.SUB: np.subtract,
    Function.MUL: np.multiply,
    Function.DIV: np.divide,
    Function.MAXIMUM: np.maximum,
    Function.MINIMUM: np.minimum,
    Function.POW: np.power,
}
REDUCE: dict[Function, Callable[..., Row]] = {
    Function.SUM: np.sum,
    Function.MEAN: np.mean,
    Function.MAX: np.max,
}
GATE: dict[Activation, Callable[[Row], Row]] = {
    Activation.SILU: _silu,
    Activation.GELU: _gelu,
    Activation.GELU_TANH: _gelu_tanh,
    Activation.SIGMOID: _logistic,
    Activation.RELU: _relu,
}


class Weights:
    """A matrix as it lies in the file: integers [rows, columns] and scales, or floats."""

    def __init__(self, matrix: Matrix, file: Row) -> None:
        rows, columns = matrix.rows, matrix.columns
        self.matrix = matrix

        def read(begin: int, count: int, kind: str) -> Row:
            width = np.dtype(kind).itemsize
            return file[begin : begin + count * width].view(kind)

        if matrix.format is WeightFormat.FLOAT32:
            self.values = read(matrix.data, rows * columns, "<f4").reshape(rows, columns)
            return
        if matrix.format is WeightFormat.INT8:
            values = read(matrix.data, rows * columns, "i1")
        else:
            bits = 2 if matrix.format is WeightFormat.INT2 else 4
            packed = read(matrix.data, rows * columns * bits // 8, "u1")
            parts = [packed >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
            values = np.stack(parts, -1).ravel().astype("i1")
            values = np.where(values >= 1 << bits - 1, values - (1 << bits), values)
        self.values = values.reshape(rows, columns).astype(np.float64)  # sums of integers are exact in it
        if matrix.format is WeightFormat.INT4_BLOCK:
            self.scales = read(matrix.scales, matrix.scale_count, "<f2").reshape(rows, -1).astype(np.float32)
        else:
            self.scales = np.broadcast_to(
                read(matrix.scales, matrix.scale_count, "<f4").reshape(-1, 1), (rows, 1)
            )

    def dequantised(self) -> Row:
        """[rows, columns] of float32."""
        if self.matrix.format is WeightFormat.FLOAT32:
            return self.values
        blocks = self.values.reshape(*self.scales.shape, -1) * self.scales[:, :, None]
        return blocks.reshape(self.values.shape).astype(np.float32)

    def times(self, x: Row) -> Row:
        """The product with a row of activations, which are quantised first if they are to be."""
        if self.matrix.float_activations:
            return self.dequantised() @ x
        q, zero_point, inverse_scale = quantised(x)
        if self.scales.shape[1] == 1:
            sums = (self.values @ (q - zero_point))[:, None]
        else:
            blocks = self.values.reshape(*self.scales.shape, -1)
            sums = np.einsum("rbc,bc->rb", blocks, (q - zero_point).reshape(blocks.shape[1:]))
        return np.float32((sums.astype(np.float32) * inverse_scale * self.scales).sum(axis=1))


def quantised(x: Row) -> tuple[Row, float, np.float32]:
    """A row as int8: x = (q - zero_point) * inverse_scale."""
    low, high = np.float32(min(0, x.min())), np.float32(max(0, x.max()))
    scale = np.float32(255) / (high - low) if high != low else np.float32(1)
    from_low, from_high = np.float32(-128) + low * scale, np.float32(127) + high * scale
    zero_point = -128 - low * scale if from_low + from_high > 0 else 127 - high * scale
    zero_point = float(np.rint(np.clip(zero_point, -128, 127)))
    q = np.clip(np.rint(x * scale) + zero_point, -128, 127)
    return q.astype(np.float64), zero_point, np.float32(1) / scale


class Interpreter:
    """One sequence of tokens.

    Args:
        plan: What to run.
        path: The file that the plan was made of.
    """

    def __init__(self, plan: Plan, path: Path) -> None:
        self.plan = plan
        file = np.fromfile(path, np.uint8)
        self._weights = [Weights(matrix, file) for matrix in plan.matrices]
        self._tables: dict[int, Row] = {}
        self._caches = [
            np.zeros((2, cache.kv_heads, plan.max_context, cache.head_dim), np.float32)
            for cache in plan.caches
        ]
        self._length = 0
        self._values: dict[int, Row] = {}

    def run(self, tokens: Iterable[int]) -> Row:
        """Feed tokens; the logits of each, [tokens, vocabulary]."""
        return np.stack([self._row(token) for token in tokens])

    def _row(self, token: int) -> Row:
        assert token < self.plan.vocabulary
        position = self._length
        self._values = {}
        for step in self.plan.steps:
            outputs = self._step(step, token, position)
            assert len(outputs) == len(step.outputs), step
            for number, value in zip(step.outputs, outputs, strict=True):
                assert number not in self._values, step
                assert value.size == self.plan.widths[number], step
                self._values[number] = value.astype(np.float32).ravel()
        self._length += 1
        return self._values[self.plan.logits]

    def _operand(self, operand: int) -> Row:
        if operand < 0:
            constant = self.plan.constants[~operand]
            return self.plan.floats[constant.offset : constant.offset + constant.width]
        return self._values[operand]

    def _step(self, step: Step, token: int, position: int) -> list[Row]:
        inputs: list[Any] = [None if each == NONE else self._operand(each) for each in step.inputs]
        if step.op is Op.POSITION:
            return [np.array([position], np.float32)]
        if step.op is Op.EMBED:
            (number,) = step.matrices
            if number not in self._tables:
                self._tables[number] = self._weights[number].dequantised()
            return [self._tables[number][token] * np.float32(step.f[0])]
        if step.op is Op.LINEAR:
            biases = [0 if bias == NONE else self._operand(bias) for bias in step.biases]
            products = [self._weights[number].times(inputs[0]) for number in step.matrices]
            return [product + bias for product, bias in zip(products, biases, strict=True)]
        if step.op is Op.RMS_NORM:
            x, weight = inputs
            x = x.reshape(step.shape)
            root = 1 / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + np.float32(step.f[0]))
            return [x * root * (1 if weight is None else weight)]
        if step.op is Op.ROPE:
            x, cosines, sines = inputs
            low, high = np.split(x.reshape(step.shape), 2, axis=1)
            turned = np.concatenate([-high, low], axis=1)
            return [x.reshape(step.shape) * cosines + turned * sines]
        if step.op is Op.GATE:
            return [GATE[Activation(step.shape[0])](inputs[0]) * inputs[1]]
        if step.op is Op.KV_STORE:
            cache = self._caches[step.cache]
            for part, row in zip(cache, inputs, strict=True):
                part[:, position] = row.reshape(part.shape[0], part.shape[2])
            return []
        if step.op is Op.ATTEND:
            return [self._attend(step, inputs[0], position)]
        if step.op is Op.BINARY:
            a = _strided(inputs[0], step.shape, step.stride_a)
            b = _strided(inputs[1], step.shape, step.stride_b)
            assert step.function is not None
            return [BINARY[step.function](a, b)]
        if step.op is Op.UNARY:
            assert step.function is not None
            return [UNARY[step.function](inputs[0])]
        if step.op is Op.REDUCE:
            assert step.function is not None
            return [REDUCE[step.function](inputs[0].reshape(step.shape), axis=1)]
        if step.op is Op.SOFTMAX:
            x = inputs[0].reshape(step.shape)
            x = np.exp(x - x.max(axis=1, keepdims=True))
            return [x / x.sum(axis=1, keepdims=True)]
        assert step.op is Op.COPY
        first = _strided(inputs[0][step.offset_a :], step.shape, step.stride_a)
        return [np.concatenate([first.ravel(), *inputs[1:]])]

    def _attend(self, step: Step, queries: Row, position: int) -> Row:
        heads, window = step.shape
        cache = self.plan.caches[step.cache]
        first = max(0, position - window + 1) if window else 0
        assert not cache.window or first >= position - cache.window + 1, "looks at what may be forgotten"
        keys, values = self._caches[step.cache][:, :, first : position + 1]
        grouped = queries.reshape(cache.kv_heads, heads // cache.kv_heads, cache.head_dim)
        scores = grouped @ keys.transpose(0, 2, 1) * np.float32(step.f[0])
        if step.f[1] > 0:
            scores = step.f[1] * np.tanh(scores / np.float32(step.f[1]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True) @ values


def _strided(x: Row, shape: tuple[int, ...], strides: tuple[int, ...]) -> Row:
    last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    assert last < x.size
    return np.lib.stride_tricks.as_strided(x, shape, [step * x.itemsize for step in strides])
