"""Bounds-checked reading of FlatBuffers.

A FlatBuffer is tables that point to each other by offsets relative to where they stand. Nothing in it is true
before it is checked: every offset, every vtable, every vector and string is proved to lie inside the buffer,
aligned, before it is used. Reading follows the schema that the caller has in mind, so there is no recursion
that a buffer could drive.

With ``exclusive=True`` the buffer also remembers every range it was read from, and :meth:`FlatBuffer.finish`
refuses two different objects that share bytes. No writer makes such a buffer; a damaged offset does.
"""

from __future__ import annotations

import struct
from typing import NoReturn

from litertlm.modelfile.source import DAMAGED, Source, refuse

__all__ = ["FlatBuffer", "Table"]

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")


class FlatBuffer:
    """One FlatBuffer.

    Args:
        source: Its bytes.
        exclusive: Whether objects may not overlap; costs memory for each object read.
    """

    def __init__(self, source: Source, *, exclusive: bool = False) -> None:
        self._source = source
        self._claims: dict[tuple[int, int], str] | None = {} if exclusive else None
        self._layouts: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.size = source.size

    def root(self, what: str = "root", *, identifier: bytes = b"") -> Table:
        """Return the root table.

        Args:
            what: What it is, for error messages.
            identifier: The four bytes that must follow the root offset; b"" when there is none.
        """
        self.read(0, 4 + len(identifier), "root offset")
        if identifier and self.read(4, 4 + len(identifier), "identifier") != identifier:
            self.fail(4, 8, "identifier", f"is not {identifier.decode('ascii')}")
        self.claim(0, 4 + len(identifier), "root offset")
        position = self.offset(0, f"offset of the {what}")
        if position < 4 + len(identifier):
            self.fail(0, 4, f"offset of the {what}", f"{position} points into the offset itself")
        return Table(self, position, what)

    def read(self, begin: int, end: int, what: str) -> bytes:
        """Return bytes of the buffer, or raise when they are not all inside."""
        if not 0 <= begin <= end <= self.size:
            self.fail(begin, end, what, f"lies outside the {self.size} bytes of the {self._source.name}")
        return self._source.read(begin, end)

    def offset(self, position: int, what: str) -> int:
        """Follow the forward offset at ``position`` and return where it leads."""
        if position % 4:
            self.fail(position, position + 4, what, "is not aligned to 4 bytes")
        distance: int = _U32.unpack(self.read(position, position + 4, what))[0]
        target = position + distance
        if distance == 0 or target > self.size - 4:
            self.fail(position, position + 4, what, f"offset {distance} leads outside")
        return target

    def layout(self, position: int, what: str) -> tuple[int, ...]:
        """Check the table at ``position``; return where in it its fields are, 0 for an absent one."""
        if position % 4:
            self.fail(position, position + 4, what, "is not aligned to 4 bytes")
        back: int = _I32.unpack(self.read(position, position + 4, what))[0]
        size, fields = self._layouts.get(position - back) or self._read_layout(position - back, what)
        if size > self.size - position or not back:
            self.fail(position, position + 4, what, f"its size of {size} bytes is impossible")
        self.claim(position, position + size, what)
        return fields

    def _read_layout(self, position: int, what: str) -> tuple[int, tuple[int, ...]]:
        """Check the vtable at ``position``; return the size of its tables and where their fields are."""
        what = f"field table of {what}"
        if position % 2:
            self.fail(position, position + 4, what, "is not aligned to 2 bytes")
        size, table_size = struct.unpack("<HH", self.read(position, position + 4, what))
        if size < 4 or size % 2 or table_size < 4:
            self.fail(position, position + 4, what, f"impossible sizes {size} and {table_size}")
        data = self.read(position, position + size, what)
        fields = tuple(int(offset) for (offset,) in _U16.iter_unpack(data[4:]))
        for number, offset in enumerate(fields):
            if offset and not 4 <= offset < table_size:
                at = position + 4 + 2 * number
                self.fail(at, at + 2, what, f"puts field {number} at {offset} of {table_size} bytes")
        self.claim(position, position + size, what)
        self._layouts[position] = (table_size, fields)
        return table_size, fields

    def vector(self, position: int, item: int, most: int, what: str) -> tuple[int, int]:
        """Check the vector at ``position``; return where its items begin, and how many they are.

        Args:
            position: Where its length stands.
            item: Size of an item in bytes; items are aligned to it.
            most: How many items are allowed.
            what: What it is, for error messages.
        """
        if position % 4 or (position + 4) % item:
            self.fail(position, position + 4, what, f"is not aligned to {max(4, item)} bytes")
        count: int = _U32.unpack(self.read(position, position + 4, what))[0]
        if count > most:
            self.fail(position, position + 4, what, f"has {count} items, at most {most} are allowed")
        end = position + 4 + count * item
        if end > self.size:
            self.fail(position, position + 4, what, f"with {count} items leads outside")
        return position + 4, count

    def claim(self, begin: int, end: int, what: str) -> None:
        """Remember that an object takes these bytes. The same object may be claimed again."""
        if self._claims is not None:
            self._claims.setdefault((begin, end), what)

    def finish(self) -> int:
        """Refuse objects that overlap; return the end of the last one. Only with ``exclusive=True``."""
        last, last_what = 0, ""
        for (begin, end), what in sorted((self._claims or {}).items()):
            if begin < last:
                self.fail(begin, end, what, f"overlaps the {last_what}")
            last, last_what = end, what
        return last

    def fail(self, begin: int, end: int, what: str, problem: str, *, hint: str = DAMAGED) -> NoReturn:
        """Raise the error that names these bytes."""
        base = self._source.base
        refuse(self._source.name, base + begin, base + end, problem, what=what, hint=hint)


class Table:
    """One table of a buffer: fields by number, absent ones take their default."""

    __slots__ = ("_buffer", "_fields", "position", "what")

    def __init__(self, buffer: FlatBuffer, position: int, what: str) -> None:
        self._buffer = buffer
        self.position = position
        self.what = what
        self._fields = buffer.layout(position, what)

    def has(self, field: int) -> bool:
        """Whether the field is present."""
        return field < len(self._fields) and self._fields[field] != 0

    def number(self, field: int, code: str, default: int | float | bool = 0) -> int | float | bool:
        """Return a scalar field.

        Args:
            field: Its number in the schema.
            code: Its type, as a letter of :mod:`struct`.
            default: What it is when absent.
        """
        if not self.has(field):
            return default
        at = self.position + self._fields[field]
        size = struct.calcsize("<" + code)
        if at % size:
            self.fail(field, f"field {field} is not aligned to {size} bytes")
        value: int | float | bool = struct.unpack("<" + code, self._buffer.read(at, at + size, self.what))[0]
        return value

    def integer(self, field: int, code: str, default: int = 0) -> int:
        """Return an integer field; see :meth:`number`."""
        return int(self.number(field, code, default))

    def table(self, field: int, what: str) -> Table | None:
        """Return the table that a field points to, None when the field is absent."""
        at = self._target(field, what)
        return None if at is None else Table(self._buffer, at, what)

    def tables(self, field: int, most: int, what: str) -> list[Table]:
        """Return the tables of a vector; ``what`` names one of them, and gets its number appended."""
        return [
            Table(self._buffer, at, f"{what} {i}") for i, at in enumerate(self.offsets(field, most, what))
        ]

    def offsets(self, field: int, most: int, what: str) -> list[int]:
        """Return the positions that a vector of offsets leads to."""
        at = self._target(field, what)
        if at is None:
            return []
        buffer = self._buffer
        begin, count = buffer.vector(at, 4, most, f"list of {what}s")
        end = begin + 4 * count
        buffer.claim(at, end, f"list of {what}s")
        distances = struct.unpack(f"<{count}I", buffer.read(begin, end, what))
        limit = buffer.size - 4
        targets = [begin + 4 * i + distance for i, distance in enumerate(distances)]
        for i, target in enumerate(targets):
            if target > limit or distances[i] == 0:
                buffer.fail(begin + 4 * i, begin + 4 * i + 4, f"{what} {i}", "its offset leads outside")
        return targets

    def numbers(self, field: int, code: str, most: int, what: str) -> tuple[int, ...]:
        """Return the scalars of a vector."""
        at = self._target(field, what)
        if at is None:
            return ()
        size = struct.calcsize("<" + code)
        begin, count = self._buffer.vector(at, size, most, what)
        self._buffer.claim(at, begin + count * size, what)
        return struct.unpack(f"<{count}{code}", self._buffer.read(begin, begin + count * size, what))

    def span(self, field: int, item: int, most: int, what: str) -> tuple[int, int] | None:
        """Return begin and count of a vector of scalars of ``item`` bytes, unread; None when it is absent."""
        at = self._target(field, what)
        if at is None:
            return None
        begin, count = self._buffer.vector(at, item, most, what)
        self._buffer.claim(at, begin + count * item, what)
        return begin, count

    def blob(self, field: int, most: int, what: str) -> tuple[int, int] | None:
        """Return begin and end of a vector of bytes, unread; None when the field is absent."""
        span = self.span(field, 1, most, what)
        return None if span is None else (span[0], span[0] + span[1])

    def string(self, field: int, what: str, *, most: int = 65536) -> str | None:
        """Return a string field: UTF-8, without NUL, and with the NUL after its end that readers rely on."""
        at = self._target(field, what)
        if at is None:
            return None
        begin, count = self._buffer.vector(at, 1, most, what)
        data = self._buffer.read(begin, begin + count + 1, what)
        self._buffer.claim(at, begin + count + 1, what)
        if data[-1] or 0 in data[:-1]:
            self._buffer.fail(begin, begin + count + 1, what, "the text does not end where it should")
        try:
            return data[:-1].decode("utf-8")
        except UnicodeDecodeError as error:
            self._buffer.fail(begin + error.start, begin + error.end, what, "is not UTF-8")

    def fail(self, field: int, problem: str, *, hint: str = DAMAGED) -> NoReturn:
        """Raise the error that names a field's bytes, or the table's when the field is absent."""
        at = self.position + (self._fields[field] if self.has(field) else 0)
        self._buffer.fail(at, at + 4, self.what, problem, hint=hint)

    def _target(self, field: int, what: str) -> int | None:
        if not self.has(field):
            return None
        return self._buffer.offset(self.position + self._fields[field], what)
