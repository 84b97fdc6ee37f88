"""What is fuzzed in Python: the planner over a file whose graphs are damaged, and the reader of the file.

A target is called with a list of edits, see :mod:`edits`. It raises when something is not as it should be:
any error but those that callers are promised, one that does not say where, or work that takes too long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from litertlm._engine.native.compiled import native_plan
from litertlm._engine.native.plan import NotRecognised, Plan, plan
from litertlm._engine.native.plan.tflite import Model, Operator, Tensor
from litertlm.errors import ModelFileError
from litertlm.modelfile import ModelFile, open_model

from .edits import Spot, changes, edits_of

__all__ = ["ContainerTarget", "PlannerTarget"]

SLOWEST = 5.0  # seconds of processor time
SMALL = 256  # bytes of a constant that is edited
HEADER, LONG = 1024, 1 << 16  # bytes of the beginning of the file, and of a section, that are edited


class Target:
    """A file in a folder that is damaged and made whole again.

    Args:
        data: The whole file.
        folder: Where it is kept.
    """

    def __init__(self, data: bytes, folder: Path) -> None:
        self.data = data
        self.path = folder / "fuzzed.litertlm"
        self.path.write_bytes(data)
        with open_model(self.path) as model:
            self.sections = model.description.sections
            section = model.description.section("tflite_model", "tf_lite_prefill_decode")
            assert section is not None
        size = section.end - section.begin
        self.graphs = (section.begin, section.begin + size // 3)  # weights come after them
        self.groups = list(_groups(self.path, section.begin, section.end))

    @contextmanager
    def damaged(self, edits: bytes, areas: Sequence[tuple[int, int]]) -> Iterator[None]:
        """The file with these edits."""
        done = list(changes(self.data, edits_of(edits), self.groups, areas))
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            for position, data in done:
                os.pwrite(descriptor, data, position)
            started = time.process_time()
            yield
            assert time.process_time() - started < SLOWEST, "it takes too long"
        finally:
            for position, data in done:
                os.pwrite(descriptor, self.data[position : position + len(data)], position)
            os.close(descriptor)


class PlannerTarget(Target):
    """The planner: a plan that fits the C struct, a damage with its place, or a refusal with its reason."""

    def __init__(self, data: bytes, folder: Path) -> None:
        super().__init__(data, folder)
        self._model: ModelFile = open_model(self.path)  # whole when it was verified

    def __call__(self, edits: bytes) -> Plan | None:
        with self.damaged(edits, [self.graphs]):
            try:
                found = plan(self._model)
                with native_plan(found):
                    return found
            except ModelFileError as error:
                assert error.place
            except NotRecognised as refusal:
                assert refusal.reason
        return None

    def close(self) -> None:
        self._model.close()


class ContainerTarget(Target):
    """The reader of the file: a description, or a damage with its place."""

    def __call__(self, edits: bytes) -> ModelFile | None:
        sections = [(each.begin, min(each.end, each.begin + LONG)) for each in self.sections]
        with self.damaged(edits, [(0, HEADER), *sections]):
            try:
                with open_model(self.path) as model:
                    return model
            except ModelFileError as error:
                assert error.place
        return None


def _groups(path: Path, begin: int, end: int) -> Iterator[list[Spot]]:
    """The numbers of the graphs, those of a kind together."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        model = Model.open(descriptor, begin, end, "model")
        spots: dict[Spot, None] = {}  # in order, each once
        for number in range(len(model._graphs)):
            graph = model.graph(number)
            for operator in graph.operators():
                spots.update(dict.fromkeys(_of_operator(operator, begin)))
            for tensor in range(len(graph._positions)):
                spots.update(dict.fromkeys(_of_tensor(graph.tensor(tensor), begin)))
    finally:
        os.close(descriptor)
    for kind in dict.fromkeys(spot.kind for spot in spots):
        yield [spot for spot in spots if spot.kind == kind]


def _of_operator(operator: Operator, base: int) -> Iterator[Spot]:
    table = operator._table
    if table.has(0):
        yield Spot("operator", base + table.position + table._fields[0], 4)
    for field in (1, 2):
        begin, count = table.span(field, 4, 1 << 10, "operands") or (0, 0)
        for number in range(count):
            yield Spot("operand", base + begin + 4 * number, 4)
    for field in (4, 12):
        options = table.table(field, "options")
        for offset in filter(None, options._fields if options else ()):
            yield Spot("option", base + options.position + offset, 1)


def _of_tensor(tensor: Tensor, base: int) -> Iterator[Spot]:
    table = tensor._table
    begin, count = table.span(0, 4, 8, "shape") or (0, 0)
    for number in range(count):
        yield Spot("dimension", base + begin + 4 * number, 4)
    for kind, field, size in (("type", 1, 1), ("buffer", 2, 4)):
        if table.has(field):
            yield Spot(kind, base + table.position + table._fields[field], size)
    if tensor.is_constant:
        begin, end = tensor.data()
        for position in range(begin, min(end, begin + SMALL) - 3, 4):
            yield Spot("constant", base + position, 4)
    quantisation = tensor._quantization()
    for field, item in ((2, 4), (3, 8)):
        begin, count = (quantisation.span(field, item, 1 << 20, "scales") if quantisation else None) or (0, 0)
        for number in range(min(count, 8)):
            yield Spot("scale", base + begin + item * number, 4)
