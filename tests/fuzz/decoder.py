"""A language model of one layer, a few thousand bytes long, with an operator of nearly every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..modelfile.containers import Numbers, Part, Scalar, Tab, Tables, Text, container, parts
from ..native_plan.sketch import TOKENS, TYPES, Sketch

HIDDEN, HEADS, HEAD, FEED, CONTEXT = 8, 2, 8, 32, 16
INT = "int32"


def model() -> bytes:
    """The whole file."""
    metadata, tokenizer, _ = parts()
    return container([metadata, tokenizer, Part("tflite_model", Decoder().data, "tf_lite_prefill_decode")])


class Decoder(Sketch):
    """The graphs of it.

    Attributes:
        data: The section.
    """

    def __init__(self) -> None:
        super().__init__(1, 1, HIDDEN)
        self._rng = np.random.default_rng(3)
        self._graphs: list[Tab] = []
        mask = self.tensor("mask", (1, 1, 1, CONTEXT))
        keys = self.tensor("keys", (1, 1, CONTEXT, HEAD))
        values = self.tensor("values", (1, 1, HEAD, CONTEXT))
        norm = self._subgraph(self._norm)
        cosines, sines = self._angles()
        x = self._call(norm, self.input)
        query = self._linear(x, HIDDEN, HEADS * HEAD)
        query = self._rope(self.apply("RESHAPE", [query], (1, 1, HEADS, HEAD)), HEADS, cosines, sines)
        key = self.apply("RESHAPE", [self._linear(x, HIDDEN, HEAD)], (1, 1, 1, HEAD))
        key = self._rope(key, 1, cosines, sines)
        value = self.apply("RESHAPE", [self._linear(x, HIDDEN, HEAD)], (1, 1, HEAD, 1))
        keys_now = self._update(keys, key, (1, 1, CONTEXT, HEAD), 2)
        values_now = self._update(values, value, (1, 1, HEAD, CONTEXT), 3)
        seen = self._attend(query, keys_now, values_now, self._both_masks(mask))
        x = self.apply("ADD", [self.input, self._linear(seen, HEADS * HEAD, HIDDEN, "int4")], (1, 1, HIDDEN))
        x = self.apply("ADD", [x, self._feed(self._call(norm, x))], (1, 1, HIDDEN))
        logits = self._logits(self._shuffled(x))
        inputs = {"tokens": 0, "input_pos": 1, "mask": mask, "kv_cache_k_0": keys, "kv_cache_v_0": values}
        outputs = {"logits": logits, "kv_cache_k_0": keys_now, "kv_cache_v_0": values_now}
        decode = self.graph([*inputs.values()], [*outputs.values()])
        ends = {0: _names(inputs), 1: _names(outputs), 4: ("I", len(self._graphs))}
        signatures = [Tab({**ends, 2: Text(name)}) for name in ("prefill_1", "decode")]
        self.data = self.section([*self._graphs, decode], signatures)

    def _weights(self, rows: int, columns: int, kind: str = "int8") -> int:
        """Quantised, with a scale for each row; ``"int4"`` of 32 or more columns has one for each block."""
        size = rows * columns // (2 if kind == "int4" else 1)
        self._buffers.append(Tab({0: Numbers("B", self._rng.bytes(size))}))
        buffer = len(self._buffers) - 1
        quantisation: dict[int, Scalar | Tab | Numbers] = {
            2: Numbers("f", [0.01] * rows),  # type: ignore[list-item]
            3: Numbers("q", [0] * rows),
            6: ("i", 0),
        }
        if kind == "int4" and columns >= 32:
            scales = self.constant(np.full((rows, columns // 32), 0.01), "float16")
            quantisation = {4: ("B", 2), 5: Tab({0: ("i", scales), 1: ("i", -1), 2: ("i", 32)})}
        fields = {
            0: Numbers("i", (rows, columns)),
            1: ("b", TYPES[kind]),
            2: ("I", buffer),
            3: Text("weights"),
            4: Tab(quantisation),
        }
        self._tensors.append(Tab(fields))
        return len(self._tensors) - 1

    def _linear(self, x: int, columns: int, rows: int, kind: str = "int8") -> int:
        inputs = [x, self._weights(rows, columns, kind), self.constant(np.zeros(rows))]
        return self.apply("FULLY_CONNECTED", inputs, (1, 1, rows), field_0=("b", 0), field_2=("?", True))

    def _subgraph(self, build: Callable[[], tuple[Sequence[int], int]]) -> int:
        """Make another graph; its number."""
        kept = self._tensors, self._operators
        self._tensors, self._operators = [], []
        inputs, output = build()
        self._graphs.append(self.graph(inputs, [output]))
        self._tensors, self._operators = kept
        return len(self._graphs) - 1

    def _norm(self) -> tuple[Sequence[int], int]:
        shape = (1, 1, HIDDEN)
        x = self.tensor("x", shape)
        square = self.apply("MUL", [x, x], shape)
        mean = self.apply("MEAN", [square, self.constant([2], INT)], (1, 1, 1), field_0=("?", True))
        root = self.apply("RSQRT", [self.apply("ADD", [mean, self.constant(1e-6)], (1, 1, 1))], (1, 1, 1))
        normed = self.apply("MUL", [x, root], shape)
        return [x], self.apply("MUL", [normed, self.constant(np.ones(HIDDEN))], shape)

    def _call(self, graph: int, x: int) -> int:
        return self.apply("STABLEHLO_COMPOSITE", [x], (1, 1, HIDDEN), field_1=("i", graph))

    def _angles(self) -> tuple[int, int]:
        at = self.apply("CAST", [1], (1,), field_0=("b", 2), field_1=("b", 0))
        frequencies = self.apply("EXP", [self.constant(-np.arange(HEAD // 2))], (HEAD // 2,))
        turns = self.apply("MUL", [at, frequencies], (HEAD // 2,))
        angles = self.apply("CONCATENATION", [turns, turns], (HEAD,), field_0=("i", 0))
        return self.apply("COS", [angles], (HEAD,)), self.apply("SIN", [angles], (HEAD,))

    def _rope(self, x: int, heads: int, cosines: int, sines: int) -> int:
        whole, half = (1, 1, heads, HEAD), (1, 1, heads, HEAD // 2)
        size = self.constant(half, INT)
        low, high = (
            self.apply("SLICE", [x, self.constant([0, 0, 0, first], INT), size], half)
            for first in (0, HEAD // 2)
        )
        turned = self.apply("CONCATENATION", [self.apply("NEG", [high], half), low], whole, field_0=("i", 3))
        straight, crossed = self.apply("MUL", [x, cosines], whole), self.apply("MUL", [turned, sines], whole)
        return self.apply("ADD", [straight, crossed], whole)

    def _update(self, cache: int, row: int, shape: Sequence[int], axis: int) -> int:
        zero = self.constant(0, INT)
        at = self.tensor("at", (), INT)
        self.operator("RESHAPE", [1], [at])
        index = self.tensor("index", (4,), INT)
        entries = [at if each == axis else zero for each in range(4)]
        self.operator("PACK", entries, [index], field_0=("i", 4), field_1=("i", 0))
        return self.apply("DYNAMIC_UPDATE_SLICE", [cache, row, index], shape)

    def _both_masks(self, mask: int) -> int:
        """With a window, and for each head."""
        iota = self.constant([list(range(CONTEXT))], INT)
        first, last = self.tensor("first", (1,), INT), self.tensor("last", (1,), INT)
        self.operator("SUB", [1, self.constant([5], INT)], [first])
        self.operator("ADD", [1, self.constant([5], INT)], [last])
        after, before, near = (
            self.tensor(name, (1, CONTEXT), "bool") for name in ("after", "before", "near")
        )
        self.operator("GREATER", [iota, first], [after])
        self.operator("LESS", [iota, last], [before])
        self.operator("LOGICAL_AND", [after, before], [near])
        window = self.apply("SELECT_V2", [near, self.constant(0.0), self.constant(-1e9)], (1, CONTEXT))
        both = self.apply("ADD", [window, mask], (1, 1, 1, CONTEXT))
        return self.apply("CONCATENATION", [both] * HEADS, (1, 1, HEADS, CONTEXT), field_0=("i", 2))

    def _attend(self, query: int, keys: int, values: int, mask: int) -> int:
        shape = (1, 1, HEADS, CONTEXT)
        adjoint: dict[str, Scalar] = {"field_0": ("?", False), "field_1": ("?", True)}
        scores = self.apply("BATCH_MATMUL", [query, keys], shape, **adjoint)
        scores = self.apply("MUL", [scores, self.constant(0.02)], shape)
        scores = self.apply("MUL", [self.apply("TANH", [scores], shape), self.constant(50.0)], shape)
        scores = self.apply("ADD", [scores, mask], shape)
        shares = self.apply("SOFTMAX", [scores], shape, field_0=("f", 1.0))
        seen = self.apply("BATCH_MATMUL", [shares, values], (1, 1, HEADS, HEAD), **adjoint)
        return self.apply("RESHAPE", [seen], (1, 1, HEADS * HEAD))

    def _feed(self, x: int) -> int:
        gate = self.apply("GELU", [self._linear(x, HIDDEN, FEED)], (1, 1, FEED), field_0=("?", True))
        gated = self.apply("MUL", [gate, self._linear(x, HIDDEN, FEED)], (1, 1, FEED))
        return self._linear(gated, FEED, HIDDEN, "int4")

    def _shuffled(self, x: int) -> int:
        """Taken apart and put together again: operators that models of other families have."""
        parts = [self.tensor("part", (1, 1, HIDDEN // 2)) for _ in range(2)]
        self.operator("SPLIT", [self.constant(2, INT), x], parts, field_0=("i", 2))
        pair = self.apply("PACK", parts, (1, 1, 2, HIDDEN // 2), field_0=("i", 2), field_1=("i", 2))
        order = self.constant([0, 1, 3, 2], INT)
        turned = self.apply("TRANSPOSE", [pair, order], (1, 1, HIDDEN // 2, 2))
        marks = [self.constant(each, INT) for each in ([0] * 4, [1, 1, HIDDEN // 2, 2], [1, 1, 2, 1])]
        every = self.apply("STRIDED_SLICE", [turned, *marks], (1, 1, HIDDEN // 4, 2))
        most = self.apply("REDUCE_MAX", [every, self.constant([3], INT)], (1, 1, HIDDEN // 4))
        shares = self.apply("SOFTMAX", [most], (1, 1, HIDDEN // 4), field_0=("f", 1.0))
        wide = self.apply("EXPAND_DIMS", [shares, self.constant(3, INT)], (1, 1, HIDDEN // 4, 1))
        shape = (1, 1, HIDDEN // 4, 4)
        wide = self.apply("BROADCAST_TO", [wide, self.constant(shape, INT)], shape)
        return self.apply("DIV", [self.apply("RESHAPE", [wide], (1, 1, HIDDEN)), x], (1, 1, HIDDEN))

    def _logits(self, x: int) -> int:
        """With weights that the graph makes floats of."""
        weights = self.apply("DEQUANTIZE", [self._weights(TOKENS, HIDDEN)], (TOKENS, HIDDEN))
        return self.apply("FULLY_CONNECTED", [x, weights], (1, 1, TOKENS), field_2=("?", True))


def _names(tensors: dict[str, int]) -> Tables:
    return Tables([Tab({0: Text(name), 1: ("I", tensor)}) for name, tensor in tensors.items()])
