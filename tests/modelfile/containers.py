"""Writers of small containers, FlatBuffers and protobuf messages, for tests of what reads them.

They write what the official builder writes, in a simpler order: parents before children, no shared vtables.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

ALIGNMENT = 16384

KINDS = {
    "generic": 1,
    "tflite_model": 3,
    "sp_tokenizer": 4,
    "llm_metadata": 5,
    "hf_tokenizer": 6,
    "tflite_weights": 7,
    "embedding_metadata": 8,
    "executor_metadata": 9,
}


class Child:
    """Something a table points to."""

    def write(self, out: bytearray) -> int:
        """Append itself and return where it is."""
        raise NotImplementedError


Scalar: TypeAlias = tuple[str, "int | float | bool"]


@dataclass
class Tab(Child):
    """A table: fields by number, a (struct letter, value) pair or a child each."""

    fields: Mapping[int, Scalar | Child]

    def write(self, out: bytearray) -> int:
        count = max(self.fields, default=-1) + 1
        sizes = {
            number: 4 if isinstance(value, Child) else struct.calcsize(value[0])
            for number, value in self.fields.items()
        }
        offsets, size = [0] * count, 4
        for number in sorted(sizes, key=lambda n: -sizes[n]):  # widest first, so few need padding
            size += -(size + 4) % sizes[number] if sizes[number] == 8 else -size % sizes[number]
            offsets[number] = size
            size += sizes[number]
        _pad(out, 2)
        while (len(out) + 4 + 2 * count) % 8 != 4:  # the table at 4 mod 8, its first field at 8
            out += b"\0\0"
        vtable = len(out)
        out += struct.pack(f"<HH{count}H", 4 + 2 * count, size, *offsets)
        table = len(out)
        out += struct.pack("<i", table - vtable) + bytes(size - 4)
        for number, value in self.fields.items():
            at = table + offsets[number]
            if isinstance(value, Child):
                struct.pack_into("<I", out, at, value.write(out) - at)
            else:
                struct.pack_into("<" + value[0], out, at, value[1])
        return table


@dataclass
class Text(Child):
    """A string."""

    text: str | bytes

    def write(self, out: bytearray) -> int:
        data = self.text.encode() if isinstance(self.text, str) else self.text
        _pad(out, 4)
        at = len(out)
        out += struct.pack("<I", len(data)) + data + b"\0"
        return at


@dataclass
class Tables(Child):
    """A vector of tables or strings."""

    items: Sequence[Child]

    def write(self, out: bytearray) -> int:
        _pad(out, 4)
        at = len(out)
        out += struct.pack("<I", len(self.items)) + bytes(4 * len(self.items))
        for number, item in enumerate(self.items):
            slot = at + 4 + 4 * number
            struct.pack_into("<I", out, slot, item.write(out) - slot)
        return at


@dataclass
class Numbers(Child):
    """A vector of numbers."""

    code: str
    values: Sequence[int]

    def write(self, out: bytearray) -> int:
        size = struct.calcsize(self.code)
        _pad(out, 4)
        while (len(out) + 4) % size:
            out += bytes(4)
        at = len(out)
        out += struct.pack(f"<I{len(self.values)}{self.code}", len(self.values), *self.values)
        return at


def flatbuffer(root: Tab, identifier: bytes = b"") -> bytes:
    """Serialize a FlatBuffer."""
    out = bytearray(4) + identifier
    struct.pack_into("<I", out, 0, root.write(out))
    _pad(out, 8)
    return bytes(out)


def _pad(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def varint(value: int) -> bytes:
    """Encode a number of the protobuf wire format."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def proto(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """Encode a message: numbers as varints, floats in four bytes, text and bytes with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


@dataclass
class Part:
    """A section to be written; ``begin`` and ``end`` override where the table says it is."""

    kind: str
    data: bytes
    model_type: str = ""
    code: int | None = None
    begin: int | None = None
    end: int | None = None
    items: Sequence[Tab] = field(default_factory=tuple)


def item(key: str | bytes, value: str | bytes | Scalar, code: int | None = None) -> Tab:
    """Write an attribute: a text, or a (struct letter, value) pair."""
    codes = {"B": 1, "b": 2, "H": 3, "h": 4, "I": 5, "i": 6, "f": 7, "?": 8, "Q": 10, "q": 11, "d": 12}
    if isinstance(value, tuple):
        return Tab({0: Text(key), 1: ("B", code or codes[value[0]]), 2: Tab({0: value})})
    return Tab({0: Text(key), 1: ("B", code or 9), 2: Tab({0: Text(value)})})


def container(
    parts: Sequence[Part],
    *,
    version: tuple[int, int, int] = (1, 7, 0),
    properties: Sequence[Tab] = (),
    header_end: int | None = None,
) -> bytes:
    """Write a container with these sections."""
    position, entries, placed = ALIGNMENT, [], []
    for part in parts:
        placed.append((position, part.data))
        items = list(part.items)
        if part.model_type:
            items.append(item("model_type", part.model_type))
        entries.append(
            Tab(
                {
                    0: Tables(items),
                    1: ("Q", position if part.begin is None else part.begin),
                    2: ("Q", position + len(part.data) if part.end is None else part.end),
                    3: ("B", KINDS[part.kind] if part.code is None else part.code),
                }
            )
        )
        position += -(-len(part.data) // ALIGNMENT) * ALIGNMENT
    header = flatbuffer(Tab({0: Tab({0: Tables(properties)}), 1: Tab({0: Tables(entries)})}))
    end = 32 + len(header) if header_end is None else header_end
    out = bytearray(struct.pack("<8s4IQ", b"LITERTLM", *version, 0, end) + header)
    assert len(out) <= ALIGNMENT
    for begin, data in placed:
        out += bytes(begin - len(out)) + data
    return bytes(out)


def tflite(
    signatures: Mapping[str, tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]]],
    *,
    version: int = 3,
    constants: Sequence[tuple[int, int]] = (),
    length: int = 0,
) -> bytes:
    """Write a TFLite model without operators: signatures with named shapes, and external constants.

    Args:
        signatures: Input shapes and output shapes by signature.
        version: Schema version.
        constants: Offset and size of external buffers.
        length: Pad the section with ones to this length.
    """
    graphs, defs = [], []
    for number, (key, sides) in enumerate(signatures.items()):
        tensors: list[Child] = []
        maps: list[list[Child]] = [[], []]
        for side, shapes in enumerate(sides):
            for name, shape in shapes.items():
                maps[side].append(Tab({0: Text(name), 1: ("I", len(tensors))}))
                tensors.append(Tab({0: Numbers("i", shape), 1: ("b", 0), 2: ("I", 0), 3: Text(name)}))
        graphs.append(Tab({0: Tables(tensors)}))
        defs.append(Tab({0: Tables(maps[0]), 1: Tables(maps[1]), 2: Text(key), 4: ("I", number)}))
    buffers = [Tab({}), *(Tab({1: ("Q", offset), 2: ("Q", size)}) for offset, size in constants)]
    model = flatbuffer(
        Tab({0: ("I", version), 2: Tables(graphs or [Tab({})]), 4: Tables(buffers), 7: Tables(defs)}), b"TFL3"
    )
    return model + b"\1" * (length - len(model))


def hf_tokenizer(content: object = None, *, raw_size: int | None = None) -> bytes:
    """Write a packed ``tokenizer.json``."""
    raw = json.dumps(
        {"model": {"type": "BPE", "vocab": {"<pad>": 0}}} if content is None else content
    ).encode()
    return struct.pack("<Q", len(raw) if raw_size is None else raw_size) + zlib.compress(raw)


STOP = (2, proto((1, proto((1, b"\x01")))))


def llm_metadata(*fields: tuple[int, int | float | str | bytes], family: bytes = proto((8, b""))) -> bytes:
    """Write metadata of a gemma4 model with a stop token, and these fields."""
    return proto(STOP, (5, 64), (6, family), (7, "{{ messages }}"), *fields)


def decoder(context: int = 64) -> bytes:
    """Write the graphs of a language model with one layer."""
    kv = {"kv_cache_k_0": (1, 2, context, 8), "kv_cache_v_0": (1, 2, 8, context)}
    prefill = {"tokens": (1, 16), "input_pos": (16,), "mask": (1, 1, 16, context)}
    decode = {"tokens": (1, 1), "input_pos": (1,), "mask": (1, 1, 1, context)}
    return tflite(
        {"prefill_16": ({**prefill, **kv}, kv), "decode": ({**decode, **kv}, {**kv, "logits": (1, 1, 32)})}
    )


def parts() -> list[Part]:
    """Return the sections of a small whole model."""
    return [
        Part("llm_metadata", llm_metadata()),
        Part("hf_tokenizer", hf_tokenizer()),
        Part("tflite_model", decoder(), "tf_lite_prefill_decode"),
    ]


def model() -> bytes:
    """Return a small whole model."""
    return container(parts(), properties=[item("Authors", "somebody"), item("revision", ("I", 7))])
