"""Small TFLite graphs that compute something of one token's embedding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from litertlm._engine.native.plan.lowering import lower
from litertlm._engine.native.plan.operators import BUILTIN, OPTIONS, OPTIONS_2
from litertlm._engine.native.plan.patterns import fuse
from litertlm._engine.native.plan.recognise import HANDLERS
from litertlm._engine.native.plan.steps import Plan
from litertlm._engine.native.plan.symbols import Position, Row, Symbol, Token
from litertlm._engine.native.plan.tflite import Model
from litertlm._engine.native.plan.trace import Trace

from ..modelfile.containers import Numbers, Scalar, Tab, Tables, Text, flatbuffer
from .interpreter import Interpreter

TYPES = {"float32": 0, "float16": 1, "int32": 2, "int64": 4, "bool": 6, "int8": 9, "int4": 17}
CODES = {name: number for number, name in BUILTIN.items()}
TOKENS = 5


class Sketch:
    """A graph in the making; tensor 0 is the token, 1 the position, 2 the token's embedding.

    Args:
        shape: Of the embedding.
    """

    def __init__(self, *shape: int) -> None:
        rng = np.random.default_rng(7)
        self.table = rng.normal(size=(TOKENS, int(np.prod(shape)))).astype(np.float32)
        self._tensors: list[Tab] = []
        self._buffers = [Tab({})]
        self._operators: list[Tab] = []
        self._names: list[str] = []
        self.tensor("token", (1,), "int32")
        self.tensor("position", (1,), "int32")
        flat = self.tensor("flat", (1, self.table.shape[1]))
        self.operator("EMBEDDING_LOOKUP", [0, self.constant(self.table)], [flat])
        self.input = self.tensor("input", shape)
        self.operator("RESHAPE", [flat], [self.input])

    def tensor(self, name: str, shape: Sequence[int], kind: str = "float32", buffer: int = 0) -> int:
        """Add a tensor."""
        fields = {0: Numbers("i", shape), 1: ("b", TYPES[kind]), 2: ("I", buffer), 3: Text(name)}
        self._tensors.append(Tab(fields))
        return len(self._tensors) - 1

    def constant(self, value: object, kind: str = "float32") -> int:
        """Add a constant."""
        array = np.asarray(value, kind)
        self._buffers.append(Tab({0: Numbers("B", array.tobytes())}))
        return self.tensor("constant", array.shape, kind, len(self._buffers) - 1)

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Scalar) -> None:
        """Add an operator; options are ``field_0=("i", 1)`` and so on."""
        if name not in self._names:
            self._names.append(name)
        fields: dict[int, Scalar | Tab | Numbers] = {
            0: ("I", self._names.index(name)),
            1: Numbers("i", inputs),
            2: Numbers("i", outputs),
        }
        if options:
            kind = 11 if name in OPTIONS_2 else 3
            fields[kind] = ("B", (OPTIONS_2 | OPTIONS)[name])
            fields[kind + 1] = Tab(
                {int(field.removeprefix("field_")): value for field, value in options.items()}
            )
        self._operators.append(Tab(fields))

    def apply(self, name: str, inputs: Sequence[int], shape: Sequence[int], **options: Scalar) -> int:
        """Add an operator and the float tensor that it makes."""
        out = self.tensor(f"out of {name}", shape)
        self.operator(name, inputs, [out], **options)
        return out

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Tab:
        """The tensors and operators so far as a graph."""
        return Tab(
            {
                0: Tables(self._tensors),
                1: Numbers("i", inputs),
                2: Numbers("i", outputs),
                3: Tables(self._operators),
            }
        )

    def section(self, graphs: Sequence[Tab], signatures: Sequence[Tab] = ()) -> bytes:
        """A section of these graphs."""
        codes = [Tab({0: ("b", min(CODES[name], 127)), 3: ("i", CODES[name])}) for name in self._names]
        fields: dict[int, Scalar | Tables] = {
            0: ("I", 3),
            1: Tables(codes),
            2: Tables(graphs),
            4: Tables(self._buffers),
            7: Tables(signatures),
        }
        return flatbuffer(Tab(fields), b"TFL3")

    def model(self, path: Path) -> Model:
        """Write it down and open it."""
        path.write_bytes(self.section([self.graph([0, 1], [len(self._tensors) - 1])]))
        return Model.open(os.open(path, os.O_RDONLY), 0, path.stat().st_size, "sketch")

    def plan(self, path: Path, output: int) -> Plan:
        """The plan of a tensor."""
        trace, found = self._traced(path, output)
        assert isinstance(found, Row)
        fuse(trace.graph, found.value)
        return lower(trace.graph, [], logits=found.value, max_context=8)

    def symbol(self, path: Path, output: int) -> Symbol:
        """What a tensor stands for."""
        return self._traced(path, output)[1]

    def run(self, path: Path, output: int, positions: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The embedding of a token and what the plan makes of it, at the last of some positions."""
        token = 0  # below whatever "vocabulary" the width of the output is
        return self.table[token], Interpreter(self.plan(path, output), path).run([token] * positions)[-1]

    def _traced(self, path: Path, output: int) -> tuple[Trace, Symbol]:
        model = self.model(path)
        try:
            trace = Trace(HANDLERS)
            given: dict[int, Symbol] = {0: Token((1,)), 1: Position(0, (1,))}
            return trace, trace.run(model.graph(0), given)[output]
        finally:
            os.close(model.source._descriptor)
