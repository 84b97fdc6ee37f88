"""The TFLite sections, as far as they can be judged without reading weights.

A TFLite model is a FlatBuffer with the identifier ``TFL3``; large constants stand after it in the same
section, and a buffer says where by an offset from the section's beginning. Read here are the signatures (the
names the engine calls the graphs and their inputs by), the shapes of their tensors, and where the constants
are.

Schema, by field number::

    Model       0 version u32, 2 subgraphs, 4 buffers, 7 signature_defs
    SubGraph    0 tensors, 1 inputs [i32], 2 outputs [i32]
    Tensor      0 shape [i32], 1 type i8, 2 buffer u32
    Buffer      0 data [u8], 1 offset u64, 2 size u64
    Signature   0 inputs, 1 outputs, 2 key string, 4 subgraph u32
    TensorMap   0 name string, 1 tensor u32
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from litertlm.modelfile.flatbuffer import FlatBuffer, Table
from litertlm.modelfile.source import FileRange, refuse

__all__ = ["Graphs", "Shape", "Signature", "read_graphs"]

Shape: TypeAlias = tuple[int, ...]

_MOST_SUBGRAPHS = 4096
_MOST_TENSORS = 1 << 20  # of all graphs with a name
_MOST_NAMES = 1 << 17  # of inputs and outputs of all of them
_MOST_BUFFERS = 1 << 20
_MOST_SIGNATURES = 1024


@dataclass(frozen=True, slots=True)
class Signature:
    """A graph that can be run by name.

    Attributes:
        key: Its name, for example ``"decode"``.
        inputs: Shapes by input name; -1 is a dynamic dimension.
        outputs: Shapes by output name.
    """

    key: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Graphs:
    """What a TFLite section offers.

    Attributes:
        signatures: By name.
    """

    signatures: Mapping[str, Signature]


def read_graphs(source: FileRange) -> Graphs:
    """Verify a TFLite section as far as it is read, and return its signatures.

    Raises:
        ModelFileError: It is no TFLite model, or points outside its section.
    """
    if source.size < 64:
        refuse(source.name, source.base, source.base + source.size, "is too short for a TFLite model")
    buffer = FlatBuffer(source)
    model = buffer.root("model", identifier=b"TFL3")
    version = model.integer(0, "I")
    if version != 3:
        model.fail(0, f"TFLite version {version} is not supported, only 3")
    subgraphs = model.tables(2, _MOST_SUBGRAPHS, "graph")
    if not subgraphs:
        model.fail(2, "has no graphs")
    buffers = _check_buffers(source, buffer, model)
    return Graphs(_signatures(buffer, model, subgraphs, buffers))


def _check_buffers(source: FileRange, buffer: FlatBuffer, model: Table) -> int:
    positions = model.offsets(4, _MOST_BUFFERS, "buffer")
    for number, position in enumerate(positions):
        if any(buffer.layout(position, "buffer")[1:3]):  # few of the thousands are external
            constant = Table(buffer, position, f"buffer {number}")
            offset, size = constant.integer(1, "Q"), constant.integer(2, "Q")
            if offset > 1 and (offset > source.size or size > source.size - offset):
                constant.fail(1, f"its {size} bytes at {offset} are not in the {source.size} of the section")
    return len(positions)


def _signatures(
    buffer: FlatBuffer, model: Table, subgraphs: list[Table], buffers: int
) -> dict[str, Signature]:
    signatures: dict[str, Signature] = {}
    tensors_of: dict[int, list[int]] = {}
    room, names = _MOST_TENSORS, _MOST_NAMES
    for entry in model.tables(7, _MOST_SIGNATURES, "signature"):
        key = entry.string(2, f"{entry.what}, key")
        if key is None:
            entry.fail(2, "has no key")
        if key in signatures:
            entry.fail(2, f"{key!r} is given twice")
        number = entry.integer(4, "I")
        if number >= len(subgraphs):
            entry.fail(4, f"names graph {number} of {len(subgraphs)}")
        if number not in tensors_of:
            tensors_of[number] = subgraphs[number].offsets(0, room, "tensor")
            room -= len(tensors_of[number])
        tensors = tensors_of[number]
        shapes: list[dict[str, Shape]] = [{}, {}]
        for field, side in enumerate(("input", "output")):
            entries = entry.tables(field, names, f"{entry.what}, {side}")
            names -= len(entries)
            for entry_map in entries:
                name = entry_map.string(0, f"{entry_map.what}, name") or ""
                tensor = entry_map.integer(1, "I")
                if tensor >= len(tensors):
                    entry_map.fail(1, f"names tensor {tensor} of {len(tensors)}")
                table = Table(buffer, tensors[tensor], f"tensor {tensor}")
                if table.integer(2, "I") >= buffers:
                    table.fail(2, f"names buffer {table.integer(2, 'I')} of {buffers}")
                shapes[field][name] = table.numbers(0, "i", 64, f"tensor {tensor}, shape")
        signatures[key] = Signature(key, shapes[0], shapes[1])
    return signatures
