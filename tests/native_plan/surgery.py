"""Copies of a model file with a number changed in one of its graphs."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from litertlm._engine.native.plan.tflite import Graph, Model, Operator
from litertlm.modelfile import open_model
from litertlm.modelfile.flatbuffer import Table


class Patient:
    """The language model of a file, to be changed in a copy.

    Args:
        path: The file; it stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self._data = bytearray(path.read_bytes())
        with open_model(path) as file:
            section = file.description.section("tflite_model", "tf_lite_prefill_decode")
            assert section is not None
            self._begin = section.begin
            descriptor = file.descriptor()
        self.model = Model.open(descriptor, section.begin, section.end, "language model")
        self.graph: Graph = self.model.graph(self.model.signatures()["decode"].graph)
        self.operators = list(self.graph.operators())
        self._descriptor = descriptor

    def first(self, name: str, where: Callable[[Operator], bool] = lambda _: True) -> Operator:
        """The first operator of a name in the decode graph."""
        return next(each for each in self.operators if each.name == name and where(each))

    def field(self, table: Table, field: int, code: str, value: float) -> None:
        """Change a scalar of a table."""
        assert table.has(field)
        self.write(table.position + table._fields[field], struct.pack("<" + code, value))

    def operand(self, operator: Operator, index: int, tensor: int) -> None:
        """Let an operator take another tensor."""
        span = operator._table.span(1, 4, 64, "inputs")
        assert span is not None
        self.write(span[0] + 4 * index, struct.pack("<i", tensor))

    def constant(self, tensor: int, code: str, *values: float) -> None:
        """Change the value of a constant, which may be that of others, too."""
        begin, end = self.graph.tensor(tensor).data()
        data = struct.pack(f"<{len(values)}{code}", *values)
        assert len(data) == end - begin
        self.write(begin, data)

    def write(self, position: int, data: bytes) -> None:
        """Change bytes of the section."""
        at = self._begin + position
        self._data[at : at + len(data)] = data

    def save(self, path: Path) -> Path:
        """Write the copy."""
        path.write_bytes(self._data)
        os.close(self._descriptor)
        return path
