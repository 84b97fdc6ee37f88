"""A strict reader of the protobuf wire format, driven by a schema.

Stricter than protobuf itself: what no writer produces is refused, because it is damage. A known field of a
wrong wire type, a single field given twice, a number beyond its type, text that is not UTF-8, groups. Unknown
fields are passed over, so that metadata of a newer minor version can be read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from litertlm.modelfile.source import refuse

__all__ = ["Field", "Message", "Schema", "parse", "wire_fields"]

Kind: TypeAlias = Literal["int32", "int64", "enum", "bool", "float", "string", "message"]
Message: TypeAlias = dict[str, Any]

_WIRE = {"int32": 0, "int64": 0, "enum": 0, "bool": 0, "float": 5, "string": 2, "message": 2}
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema.

    Attributes:
        name: Its name; the key in the parsed message.
        kind: Its type.
        repeated: Whether it is a list.
        schema: The schema of a message field.
        oneof: Name of the group of fields of which only one may be set, "" for none.
    """

    name: str
    kind: Kind
    repeated: bool = False
    schema: Mapping[int, Field] | None = None
    oneof: str = ""


Schema: TypeAlias = Mapping[int, Field]


def parse(
    data: bytes | memoryview, schema: Schema, *, name: str, base: int = 0, what: str = "", depth: int = 0
) -> Message:
    """Parse one message.

    Args:
        data: Its bytes.
        schema: Its fields by number.
        name: What contains it, for error messages.
        base: Position of ``data`` in the file.
        what: The message within ``name``, for error messages.
        depth: How many messages enclose it.

    Returns:
        What is present, by name: a list for a repeated field, a value or another such dict otherwise.

    Raises:
        ModelFileError: The message is malformed; the error names the bytes.
    """
    message: Message = {}
    groups: dict[str, str] = {}
    for number, wire, value, begin, end in wire_fields(data, name=name, base=base, what=what):
        field = schema.get(number)
        if field is None:
            continue
        label = f"{what}.{field.name}" if what else field.name
        where = _Where(name, base + begin, base + end, label)
        if field.repeated and wire == 2 and field.kind not in ("string", "message"):
            message.setdefault(field.name, []).extend(_packed(value, field, where))
            continue
        if wire != _WIRE[field.kind]:
            where.fail(f"has wire type {wire}, a {field.kind} has {_WIRE[field.kind]}")
        if field.kind == "message":
            if depth >= _DEEPEST:
                where.fail(f"is nested more than {_DEEPEST} messages deep")
            inner = base + end - len(value)
            decoded: Any = parse(
                value, field.schema or {}, name=name, base=inner, what=label, depth=depth + 1
            )
        else:
            decoded = _scalar(value, field.kind, where)
        if field.repeated:
            message.setdefault(field.name, []).append(decoded)
            continue
        if field.name in message:
            where.fail("is given twice")
        if field.oneof:
            other = groups.setdefault(field.oneof, field.name)
            if other != field.name:
                where.fail(f"excludes {other}, which is given too")
        message[field.name] = decoded
    return message


def wire_fields(
    data: bytes | memoryview, *, name: str, base: int = 0, what: str = ""
) -> Iterator[tuple[int, int, Any, int, int]]:
    """Split a message into its fields without a schema.

    Yields:
        Field number, wire type, value (int for type 0, bytes otherwise), and where in ``data`` the field
        begins and ends.
    """
    position, size = 0, len(data)
    while position < size:
        begin = position
        tag, position = _varint(data, position, name, base, what)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            _Where(name, base + begin, base + position, what).fail(f"impossible field number {number}")
        if wire == 0:
            value, position = _varint(data, position, name, base, what)
            yield number, wire, value, begin, position
            continue
        if wire == 2:
            length, position = _varint(data, position, name, base, what)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            _Where(name, base + begin, base + position, what).fail(f"impossible wire type {wire}")
        if length > size - position:
            problem = f"field {number} of {length} bytes is cut after {size - position}"
            _Where(name, base + begin, base + size, what).fail(problem)
        position += length
        yield number, wire, data[position - length : position], begin, position


class _Where:
    """Where a field stands, for the error that names it."""

    __slots__ = ("begin", "end", "name", "what")

    def __init__(self, name: str, begin: int, end: int, what: str) -> None:
        self.name, self.begin, self.end, self.what = name, begin, end, what

    def fail(self, problem: str) -> NoReturn:
        refuse(self.name, self.begin, self.end, problem, what=self.what)


def _varint(data: bytes | memoryview, position: int, name: str, base: int, what: str) -> tuple[int, int]:
    value = 0
    for at in range(position, min(position + 10, len(data))):
        byte = data[at]
        value |= (byte & 0x7F) << (7 * (at - position))
        if byte < 0x80 and value < 1 << 64:
            return value, at + 1
    end = min(position + 10, len(data))
    problem = "a number is longer than 64 bits" if end == position + 10 else "a number is cut"
    return _Where(name, base + position, base + end, what).fail(problem)


def _scalar(value: Any, kind: Kind, where: _Where) -> Any:
    if kind == "string":
        value = bytes(value)
        if 0 in value:
            where.fail("has a NUL character in it")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            where.fail("is not UTF-8")
    if kind == "float":
        return struct.unpack("<f", value)[0]
    if kind == "bool":
        if value > 1:
            where.fail(f"{value} is neither true nor false")
        return bool(value)
    number = value - (1 << 64) if value >= 1 << 63 else value
    if kind != "int64" and not -(1 << 31) <= number < 1 << 31:
        where.fail(f"{number} is beyond 32 bits")
    return number


def _packed(data: bytes, field: Field, where: _Where) -> list[Any]:
    values: list[Any] = []
    position = 0
    inner = where.end - len(data)
    while position < len(data):
        if field.kind == "float":
            if len(data) - position < 4:
                where.fail("a number is cut")
            values.append(_scalar(data[position : position + 4], field.kind, where))
            position += 4
        else:
            value, position = _varint(data, position, where.name, inner, where.what)
            values.append(_scalar(value, field.kind, where))
    return values
