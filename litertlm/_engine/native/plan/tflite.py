"""The graphs of a TFLite section: tensors, operators, constants and where they are in the file.

Everything is read when it is asked for, and checked when it is read. The schema, by field number::

    Model         1 operator_codes, 2 subgraphs, 4 buffers, 7 signature_defs
    OperatorCode  0 deprecated_builtin_code i8, 1 custom_code, 3 builtin_code i32
    SubGraph      0 tensors, 1 inputs [i32], 2 outputs [i32], 3 operators
    Tensor        0 shape [i32], 1 type i8, 2 buffer u32, 3 name, 4 quantization, 5 is_variable, 6 sparsity
    Quantization  2 scale [f32], 3 zero_point [i64], 4 details type u8, 5 details, 6 quantized_dimension i32
    Blockwise     0 scales i32 (a tensor), 1 zero_points i32 (a tensor), 2 block_size i32
    Operator      0 opcode_index u32, 1 inputs [i32], 2 outputs [i32], 3 options type u8, 4 options,
                  11 options 2 type u8, 12 options 2
    Buffer        0 data [u8], 1 offset u64, 2 size u64
    Signature     0 inputs, 1 outputs, 2 key, 4 subgraph u32
    TensorMap     0 name, 1 tensor u32
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from litertlm._engine.native.plan.operators import BUILTIN, OPTIONS, OPTIONS_2
from litertlm.modelfile.flatbuffer import FlatBuffer, Table
from litertlm.modelfile.source import FileRange

__all__ = ["Graph", "Model", "NotRecognised", "Operator", "Signature", "Tensor"]

_MOST_GRAPHS = 1 << 16
_MOST_TENSORS = 1 << 20  # of all graphs that are opened
_MOST_OPERATORS = 1 << 20
_MOST_BUFFERS = 1 << 20
_MOST_OPERANDS = 1024
_MOST_DIMENSIONS = 8
_MOST_SIGNATURES = 128
_LONGEST_KEY = 1024  # of what a signature names
_LONG_NAME = 100  # names of tensors are paths of modules; their ends tell most
_MOST_ELEMENTS = 1 << 40
_BLOCK = 1 << 18

_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
    10: "float64", 17: "int4", 19: "int2",
}  # fmt: skip
_BITS = {
    "float32": 32, "float16": 16, "int32": 32, "uint8": 8, "int64": 64, "bool": 8, "int16": 16, "int8": 8,
    "float64": 64, "int4": 4, "int2": 2,
}  # fmt: skip


class NotRecognised(Exception):
    """The model computes something that this engine has no kernels for, or in a way it does not know.

    Args:
        reason: What and where: names the node of the graph where there is one.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Signature:
    """A graph that can be run by name.

    Attributes:
        key: Its name.
        graph: The number of its graph.
        inputs: Tensors by input name.
        outputs: Tensors by output name.
    """

    key: str
    graph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class Model:
    """A TFLite model in a section of an open file.

    Args:
        source: The section.
    """

    def __init__(self, source: FileRange) -> None:
        self.source = source
        self.buffer = FlatBuffer(source)
        self._root = self.buffer.root("model", identifier=b"TFL3")
        self._buffers = self._root.offsets(4, _MOST_BUFFERS, "buffer")
        self._graphs = self._root.offsets(2, _MOST_GRAPHS, "graph")
        self._opened: dict[int, Graph] = {}
        self._room = _MOST_TENSORS
        self.codes = tuple(
            _operator_name(code) for code in self._root.tables(1, _MOST_OPERANDS, "operator code")
        )

    @classmethod
    def open(cls, descriptor: int, begin: int, end: int, name: str) -> Model:
        """Read the model in bytes ``begin`` to ``end`` of a file; ``name`` is for error messages."""
        return cls(FileRange(descriptor, begin, end, name=name, block=_BLOCK))

    def signatures(self) -> dict[str, Signature]:
        """The signatures by key."""
        found = {}
        for entry in self._root.tables(7, _MOST_SIGNATURES, "signature"):
            key = entry.string(2, f"{entry.what}, key") or ""
            found[key] = Signature(key, entry.integer(4, "I"), self._names(entry, 0), self._names(entry, 1))
        return found

    def graph(self, number: int) -> Graph:
        """A graph by number.

        Raises:
            ModelFileError: There is none of that number.
        """
        graph = self._opened.get(number)
        if graph is None:
            if not 0 <= number < len(self._graphs):
                self._root.fail(2, f"graph {number} of {len(self._graphs)} does not exist")
            table = Table(self.buffer, self._graphs[number], f"graph {number}")
            graph = Graph(self, table, number, self._room)
            self._opened[number] = graph
            self._room -= graph.tensors
        return graph

    def constant(self, number: int) -> tuple[int, int] | None:
        """Begin and end of a buffer in the section, None when it is empty."""
        if number >= len(self._buffers):
            self._root.fail(4, f"buffer {number} of {len(self._buffers)} does not exist")
        if number == 0:
            return None
        table = Table(self.buffer, self._buffers[number], f"buffer {number}")
        offset, size = table.integer(1, "Q"), table.integer(2, "Q")
        if offset > 1:
            if offset > self.source.size or size > self.source.size - offset:
                table.fail(
                    1, f"its {size} bytes at {offset} are not in the {self.source.size} of the section"
                )
            return offset, offset + size
        data = table.blob(0, self.source.size, f"buffer {number}")
        return None if data is None or data[0] == data[1] else data

    def _names(self, entry: Table, field: int) -> dict[str, int]:
        return {
            item.string(0, f"{item.what}, name", most=_LONGEST_KEY) or "": item.integer(1, "I")
            for item in entry.tables(field, _MOST_OPERANDS, f"{entry.what}, tensor")
        }


class Graph:
    """One graph.

    Attributes:
        number: Its number in the model.
        inputs: Tensors that it is given.
        outputs: Tensors that it gives.
        tensors: How many it has.
    """

    def __init__(self, model: Model, table: Table, number: int, most: int) -> None:
        self.model = model
        self.number = number
        self._table = table
        self._positions = table.offsets(0, most, "tensor")
        self.tensors = len(self._positions)
        self._tensors: dict[int, Tensor] = {}
        self.inputs = table.numbers(1, "i", _MOST_OPERANDS, "inputs")
        self.outputs = table.numbers(2, "i", _MOST_OPERANDS, "outputs")

    def tensor(self, number: int) -> Tensor:
        """A tensor by number.

        Raises:
            ModelFileError: There is none of that number.
        """
        tensor = self._tensors.get(number)
        if tensor is None:
            if not 0 <= number < len(self._positions):
                self._table.fail(0, f"tensor {number} of {len(self._positions)} does not exist")
            what = f"graph {self.number}, tensor {number}"
            tensor = Tensor(self, Table(self.model.buffer, self._positions[number], what), number)
            self._tensors[number] = tensor
        return tensor

    def operators(self) -> Iterator[Operator]:
        """The operators, in the order in which they run."""
        for number, at in enumerate(self._table.offsets(3, _MOST_OPERATORS, "operator")):
            yield Operator(
                self, Table(self.model.buffer, at, f"graph {self.number}, operator {number}"), number
            )


class Tensor:
    """One tensor.

    Attributes:
        number: Its number in the graph.
        shape: Its dimensions; all known.
        type: ``"float32"`` and so on; "" for one that is not known here.
        elements: How many it has.
    """

    __slots__ = ("_table", "elements", "graph", "number", "shape", "type")

    def __init__(self, graph: Graph, table: Table, number: int) -> None:
        self.graph = graph
        self.number = number
        self._table = table
        self.shape = table.numbers(0, "i", _MOST_DIMENSIONS, table.what)
        self.type = _TYPES.get(table.integer(1, "b"), "")
        if any(dimension < 0 for dimension in self.shape):
            table.fail(0, f"its shape {self.shape} is impossible")
        self.elements = math.prod(self.shape)
        if math.prod(dimension or 1 for dimension in self.shape) > _MOST_ELEMENTS:  # numpy counts so, too
            table.fail(0, f"its shape {self.shape} is impossible")

    @property
    def name(self) -> str:
        """Its name."""
        return self._table.string(3, f"{self._table.what}, name") or ""

    @property
    def is_constant(self) -> bool:
        """Whether its value is in the file."""
        return self.graph.model.constant(self._table.integer(2, "I")) is not None

    def data(self) -> tuple[int, int]:
        """Begin and end of its value in the section.

        Raises:
            ModelFileError: It is not there, or not of the size that shape and type ask for.
        """
        found = self.graph.model.constant(self._table.integer(2, "I")) or (0, 0)
        bits = _BITS.get(self.type, 0) * self.elements
        if found[1] - found[0] != (bits + 7) // 8:
            self.fail(f"has {found[1] - found[0]} bytes, but its shape {self.shape} of {self.type} does not")
        return found

    def read(self) -> bytes:
        """Its value."""
        return self.graph.model.source.read(*self.data())

    @property
    def is_quantised(self) -> bool:
        """Whether its values are integers that stand for others."""
        table = self._quantization()
        return table is not None and (table.has(2) or table.integer(4, "B") != 0)

    @property
    def is_sparse(self) -> bool:
        """Whether it is stored in another form than its shape says."""
        return self._table.has(6)

    def scales(self) -> tuple[int, int, int]:
        """Where its scales begin in the section, how many they are, and along which dimension they go.

        Raises:
            ModelFileError: They are not there.
            NotRecognised: The zero points are not 0.
        """
        table = self._quantization()
        span = table.span(2, 4, _MOST_ELEMENTS, f"{self._table.what}, scales") if table else None
        if table is None or span is None:
            self.fail("has no scales")
        points = table.span(3, 8, _MOST_ELEMENTS, f"{self._table.what}, zero points")
        if points is not None:
            if points[1] > span[1]:
                table.fail(3, f"{points[1]} zero points for {span[1]} scales")
            end = points[0] + 8 * points[1]
            for begin in range(points[0], end, _BLOCK):
                data = self.graph.model.source.read(begin, min(begin + _BLOCK, end))
                if data.count(0) != len(data):
                    raise NotRecognised(f"the zero points of the weights {self.name!r} are not 0")
        return (*span, table.integer(6, "i"))

    def blocks(self) -> tuple[Tensor, int] | None:
        """The tensor of the scales of its blocks and the size of those; None when it is not quantised so.

        Raises:
            NotRecognised: The details of its quantisation are others, or there are zero points.
        """
        table = self._quantization()
        kind = table.integer(4, "B") if table else 0
        if table is None or kind == 0:
            return None
        details = table.table(5, f"{self._table.what}, details of the quantisation")
        if kind != 2 or details is None:
            raise NotRecognised(f"the weights {self.name!r} are quantised in a way that is not known")
        if details.integer(1, "i") != -1:
            raise NotRecognised(f"the blocks of the weights {self.name!r} have zero points")
        return self.graph.tensor(details.integer(0, "i")), details.integer(2, "i")

    def fail(self, problem: str) -> NoReturn:
        """Raise the error that names it."""
        self._table.fail(0, problem)

    def _quantization(self) -> Table | None:
        return self._table.table(4, f"{self._table.what}, quantisation")


class Operator:
    """One operator.

    Attributes:
        number: Its number in the graph.
        name: What it does: ``"ADD"``; the name of a custom one comes after ``"CUSTOM "``.
        inputs: Tensors, -1 where an optional one is absent.
        outputs: Tensors.
    """

    __slots__ = ("_table", "graph", "inputs", "name", "number", "outputs")

    def __init__(self, graph: Graph, table: Table, number: int) -> None:
        self.graph = graph
        self.number = number
        self._table = table
        code = table.integer(0, "I")
        codes = graph.model.codes
        if code >= len(codes):
            table.fail(0, f"operator code {code} of {len(codes)} does not exist")
        self.name = codes[code]
        self.inputs: Sequence[int] = table.numbers(1, "i", _MOST_OPERANDS, f"{table.what}, inputs")
        self.outputs: Sequence[int] = table.numbers(2, "i", _MOST_OPERANDS, f"{table.what}, outputs")
        if not self.outputs:
            table.fail(2, "has no outputs")

    def option(self, field: int, code: str, default: int | float = 0) -> int | float:
        """A scalar of its options; see :meth:`Table.number`."""
        options = self._options()
        return default if options is None else options.number(field, code, default)

    def text(self, field: int) -> str:
        """A text of its options, "" when absent."""
        options = self._options()
        return (options.string(field, f"{options.what}, text") or "") if options else ""

    def refuse(self, reason: str) -> NoReturn:
        """Raise the refusal that names this operator."""
        name = self.graph.tensor(self.outputs[0]).name
        if len(name) > _LONG_NAME:
            name = f"...{name[-_LONG_NAME:]}"
        raise NotRecognised(
            f"{self.name} (node {self.number} of graph {self.graph.number}, {name!r}): {reason}"
        )

    def fail(self, problem: str) -> NoReturn:
        """Raise the error that names it."""
        self._table.fail(0, problem)

    def _options(self) -> Table | None:
        second = self.name == "STABLEHLO_COMPOSITE"
        expected = (OPTIONS_2 if second else OPTIONS).get(self.name, 0)
        kind, field = (11, 12) if second else (3, 4)
        found = self._table.integer(kind, "B")
        if found == 0 and not self._table.has(field):
            return None
        if found != expected:
            self._table.fail(kind, f"its options are of kind {found}, not {expected}")
        return self._table.table(field, f"{self._table.what}, options")


def _operator_name(code: Table) -> str:
    # Files of before 2020 have the code in the first field only; newer ones put 127 there when it is greater.
    number = max(code.integer(0, "b"), code.integer(3, "i"))
    if number == 32:
        return f"CUSTOM {code.string(1, f'{code.what}, name') or ''}"
    return BUILTIN.get(number, f"operator {number}")
