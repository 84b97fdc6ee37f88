"""Going through a graph of the file, operator by operator, to say what each tensor stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from litertlm._engine.native.plan import tflite
from litertlm._engine.native.plan.graph import Array, Graph, Node
from litertlm._engine.native.plan.steps import Op
from litertlm._engine.native.plan.symbols import Fixed, Row, Shape, Stored, Symbol, describe
from litertlm._engine.native.plan.tflite import NotRecognised, Operator

__all__ = ["AttendedCache", "Handle", "Handler", "Handlers", "Trace", "broadcast"]

# A damaged graph may go on and on; a whole one of a hundred layers needs a tenth of this.
_MOST_WORK = 200_000  # operators and their inputs
_MOST_NODES = 200_000
_MOST_DEPTH = 8
_MOST_FIXED = 1 << 20  # elements of a constant that is read
_MOST_FIXED_IN_ALL = 1 << 25  # each counted as often as it is used
_MOST_READ = 1 << 31  # bytes

_NUMPY = {
    "float32": "<f4", "float16": "<f2", "float64": "<f8", "int32": "<i4", "int64": "<i8", "bool": "?",
}  # fmt: skip


@dataclass(slots=True)
class AttendedCache:
    """A pair of inputs that are keys and values of the same positions.

    Attributes:
        keys: Name of the input.
        values: Name of the input.
        kv_heads: Heads.
        head_dim: Width of each.
        windows: How many positions back each attention looks; 0: all.
    """

    keys: str
    values: str
    kv_heads: int
    head_dim: int
    windows: list[int]


class Trace:
    """The nodes found so far, and what they share.

    Args:
        handlers: What is known of each operator.

    Attributes:
        graph: The nodes.
        caches: The KV caches, in the order in which they are first attended to.
        contexts: Lengths of caches and masks; a model has but one.
    """

    def __init__(self, handlers: Handlers) -> None:
        self.graph = Graph()
        self.caches: list[AttendedCache] = []
        self.contexts: set[int] = set()
        self._handlers = handlers
        self._arrays: dict[tflite.Tensor, npt.NDArray[np.generic]] = {}
        self._position: int | None = None
        self._work = 0
        self._fixed = 0
        self._depth = 0

    def run(self, graph: tflite.Graph, given: Mapping[int, Symbol]) -> dict[int, Symbol]:
        """Go through a graph.

        Args:
            graph: The graph.
            given: What its inputs stand for, by tensor.

        Returns:
            What its tensors stand for.

        Raises:
            NotRecognised: An operator is used in a way that is not known.
            ModelFileError: The graph is damaged.
        """
        known = dict(given)
        for operator in graph.operators():
            self._spend(operator)
            handler = self._handlers.get(operator.name)
            if handler is None:
                operator.refuse("this operator is not known")
            if not handler.least <= len(operator.inputs) <= handler.most:
                operator.fail(f"{operator.name} has {len(operator.inputs)} inputs")
            inputs = [self._symbol(known, operator, tensor) for tensor in operator.inputs]
            found = handler.handle(self, operator, inputs)
            if len(found) != len(operator.outputs):
                operator.refuse(f"it has {len(operator.outputs)} outputs")
            for number, symbol in zip(operator.outputs, found, strict=True):
                shape = graph.tensor(number).shape
                if symbol.shape != shape:
                    operator.refuse(f"its output is of shape {shape}, not {symbol.shape}")
                known[number] = symbol
        return known

    def inline(self, graph: tflite.Graph, operator: Operator, inputs: list[Symbol | None]) -> list[Symbol]:
        """Go through a graph in place of an operator, and return what its outputs stand for."""
        if len(inputs) != len(graph.inputs):
            operator.refuse(f"its decomposition takes {len(graph.inputs)} inputs, not {len(inputs)}")
        if self._depth >= _MOST_DEPTH:
            operator.refuse("decompositions are nested too deeply")
        given = {
            number: symbol for number, symbol in zip(graph.inputs, inputs, strict=True) if symbol is not None
        }
        self._depth += 1
        known = self.run(graph, given)
        self._depth -= 1
        missing = [number for number in graph.outputs if number not in known]
        if missing:
            operator.refuse(f"its decomposition does not compute tensor {missing[0]}")
        return [known[number] for number in graph.outputs]

    def array(self, symbol: Symbol | None) -> npt.NDArray[np.generic] | None:
        """The value of a constant; None when it is none, or not a small one of plain numbers."""
        if isinstance(symbol, Fixed):
            self.count(symbol.array.size)
            return symbol.array
        if not isinstance(symbol, Stored):
            return None
        tensor = symbol.tensor
        array = self._arrays.get(tensor)
        if array is None:
            kind = _NUMPY.get(tensor.type)
            if kind is None or tensor.elements > _MOST_FIXED or tensor.is_quantised or tensor.is_sparse:
                return None
            data = tensor.read() if tensor.elements else b""
            array = np.frombuffer(data, kind).reshape(tensor.shape)
            self._arrays[tensor] = array
        self.count(array.size)
        return array

    def count(self, elements: int) -> None:
        """Note that so many elements of constants are worked on, or refuse a graph that goes on with that."""
        self._fixed += elements
        if self._fixed > _MOST_FIXED_IN_ALL:
            raise NotRecognised("the constants of the graphs are too large")

    def floats(self, symbol: Symbol | None) -> Array | None:
        """As :meth:`array`, of float32 only."""
        array = self.array(symbol)
        return array if array is not None and array.dtype == np.float32 else None  # type: ignore[return-value]

    def integers(self, operator: Operator, symbol: Symbol | None, what: str) -> tuple[int, ...]:
        """The value of a constant vector of a few integers, or the refusal that ``what`` is not constant."""
        array = self.array(symbol)
        if array is None or array.dtype.kind != "i" or array.size > 64:
            operator.refuse(f"{what} is not a constant")
        return tuple(int(value) for value in array.ravel())

    def position(self, operator: Operator) -> int:
        """The value that holds the row's position as a float."""
        if self._position is None:
            self._position = self.graph.value(1)
            # First of all: other graphs of the file that come later may ask for it, too.
            self.graph.nodes.insert(0, Node(Op.POSITION, [], [self._position], operator))
        return self._position

    def refuse(self, operator: Operator, inputs: Sequence[Symbol | None]) -> Row:
        """Refuse an operator that does not know what to do with its inputs."""
        operator.refuse(f"used with {describe(list(inputs))}")

    def _spend(self, operator: Operator) -> None:
        self._work += 1 + len(operator.inputs)
        if (
            self._work > _MOST_WORK
            or len(self.graph.nodes) > _MOST_NODES
            or operator.graph.model.source.bytes_read > _MOST_READ
        ):
            operator.refuse("the graphs are too large")

    def _symbol(self, known: Mapping[int, Symbol], operator: Operator, number: int) -> Symbol | None:
        symbol = known.get(number)
        if symbol is None and number != -1:
            tensor = operator.graph.tensor(number)
            if tensor.elements and not tensor.is_constant:
                operator.refuse(f"its input {tensor.name!r} has no value")
            symbol = Stored(tensor)
        return symbol


Handle: TypeAlias = Callable[[Trace, Operator, "list[Symbol | None]"], Sequence[Symbol]]
"""Says what the outputs of an operator stand for, given what its inputs do."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What is known of an operator.

    Attributes:
        handle: What it does.
        least: How many inputs it has at least.
        most: And at most.
    """

    handle: Handle
    least: int
    most: int


Handlers: TypeAlias = Mapping[str, Handler]


def broadcast(operator: Operator, *shapes: Shape) -> Shape:
    """The shape of what is computed of tensors of these shapes, element by element.

    Raises:
        ModelFileError: They do not fit each other.
        NotRecognised: It is too large.
    """
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        operator.fail(f"its inputs of shapes {', '.join(map(str, shapes))} do not fit each other")
    if math.prod(size or 1 for size in shape) > 1 << 22:
        operator.refuse(f"its output of shape {shape} is too large")
    return shape
