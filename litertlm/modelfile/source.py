"""Reading bytes of a file by position, never by a shared file offset and never through a mapping.

A mapping would turn a file that shrinks while it is read into ``SIGBUS``; a positioned read turns it into an
error. Positions are checked here once more, so a mistake in a caller cannot read outside its range.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn, Protocol

from litertlm.errors import ModelFileError

__all__ = ["DAMAGED", "TRUNCATED", "Bytes", "FileRange", "Source", "place", "refuse"]

DAMAGED = "The file is damaged: download it again."
TRUNCATED = "The file is truncated: download it again."


def place(name: str, begin: int, end: int, what: str = "") -> str:
    """Name a place in the file: ``"header, bytes 24..31: end of header"``; ``end`` is exclusive."""
    where = f"{name}, bytes {begin}..{end - 1}" if end - begin > 1 else f"{name}, byte {begin}"
    return f"{where}: {what}" if what else where


def refuse(name: str, begin: int, end: int, problem: str, *, what: str = "", hint: str = DAMAGED) -> NoReturn:
    """Raise the error that names a place, see :func:`place`."""
    raise ModelFileError(problem, place=place(name, begin, end, what), hint=hint)


class Source(Protocol):
    """A range of bytes that can be read piece by piece.

    Attributes:
        name: What the range is, for error messages.
        base: Position of its first byte in the file.
        size: Its length in bytes.
    """

    name: str
    base: int
    size: int

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes ``begin`` to ``end`` (exclusive), counted from the range's first byte."""


class Bytes:
    """A range that is in memory already."""

    def __init__(self, data: bytes, *, name: str, base: int = 0) -> None:
        self.name = name
        self.base = base
        self.size = len(data)
        self._data = data

    def read(self, begin: int, end: int) -> bytes:
        """See :class:`Source`."""
        _check(self, begin, end)
        return self._data[begin:end]


class FileRange:
    """A range of an open file, read in blocks as they are needed; the last blocks are kept.

    Not for use by several threads at once. The descriptor stays the caller's.

    Attributes:
        bytes_read: How many bytes were read from the file so far.
    """

    def __init__(self, descriptor: int, begin: int, end: int, *, name: str, block: int = 4096) -> None:
        self.name = name
        self.base = begin
        self.size = end - begin
        self.bytes_read = 0
        self._descriptor = descriptor
        self._block = block
        self._kept: dict[int, bytes] = {}

    def read(self, begin: int, end: int) -> bytes:
        """See :class:`Source`. Raises :class:`~litertlm.ModelFileError` when the file has become shorter."""
        _check(self, begin, end)
        block = self._block
        first = begin // block
        if (end - 1) // block == first or end == begin:
            data = self._kept.get(first)
            if data is None:
                data = self._fetch(first * block, min((first + 1) * block, self.size))
                if len(self._kept) >= 64:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[first] = data
            return data[begin - first * block : end - first * block]
        return self._fetch(begin, end)

    def _fetch(self, begin: int, end: int) -> bytes:
        try:
            data = _read_at(self._descriptor, self.base + begin, end - begin)
        except OSError as error:
            raise ModelFileError(
                f"cannot be read ({error.strerror or error})",
                place=place(self.name, self.base + begin, self.base + end),
            ) from error
        self.bytes_read += len(data)
        if len(data) != end - begin:
            missing = self.base + begin + len(data)
            refuse(self.name, missing, self.base + end, "the file ends here", hint=TRUNCATED)
        return data


def _check(source: Source, begin: int, end: int) -> None:
    if not 0 <= begin <= end <= source.size:
        problem = f"points outside, to bytes {source.base + begin}..{source.base + end - 1}"
        refuse(source.name, source.base, source.base + source.size, problem)


if sys.platform == "win32":
    _seek_and_read = threading.Lock()

    def _read_at(descriptor: int, position: int, count: int) -> bytes:
        data = bytearray()
        with _seek_and_read:
            os.lseek(descriptor, position, os.SEEK_SET)
            while len(data) < count:
                piece = os.read(descriptor, count - len(data))
                if not piece:
                    break
                data += piece
        return bytes(data)

else:

    def _read_at(descriptor: int, position: int, count: int) -> bytes:
        data = os.pread(descriptor, count, position)
        while len(data) < count:  # a signal or a network file system can cut a read short
            piece = os.pread(descriptor, count - len(data), position + len(data))
            if not piece:
                break
            data += piece
        return data
