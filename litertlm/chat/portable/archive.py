"""The chat file itself: a zip with ``chat.json`` and the media, named by their SHA-256.

docs/chat-files.md describes it for other programs. Nothing that a file says is trusted: names are compared,
never used as paths; sizes are limited as declared and as unpacked; nothing in it is code.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from litertlm.chat.portable.document import check_amount, document_of, parse_document, record_of
from litertlm.chat.portable.record import ChatRecord
from litertlm.errors import ChatFileError

__all__ = [
    "MOST_DOCUMENT",
    "MOST_FILE",
    "MOST_MEDIA",
    "MOST_MEMBERS",
    "json_of",
    "pack",
    "program",
    "unpack",
]

DOCUMENT = "chat.json"
FOLDER = "media/"

MOST_DOCUMENT = 64 << 20
"""Bytes of ``chat.json``, which is all the text of a chat."""

MOST_MEDIA = 1 << 30
"""Bytes of all media together, each counted once."""

MOST_MEMBERS = 10_000
_MOST_DIRECTORY = 256 * MOST_MEMBERS  # an entry of ours takes 117 bytes
MOST_FILE = MOST_MEDIA + MOST_DOCUMENT + 2 * _MOST_DIRECTORY

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the time in every entry, so that equal chats are equal files
_LEVEL = 6
_UNIX = 3
_END = b"PK\x05\x06"
_END_SIZE = 22
_END_64 = b"PK\x06\x07"
_END_64_SIZE = 20
_ENCRYPTED = 0x1
_MEDIUM = re.compile(re.escape(FOLDER) + "[0-9a-f]{64}")
_DAMAGED = "The file is damaged; use another copy of it."


def program() -> str:
    """The name and version of litertlm."""
    from importlib import metadata

    try:
        return f"litertlm {metadata.version('litertlm')}"
    except metadata.PackageNotFoundError:
        return "litertlm"


def json_of(document: Mapping[str, Any]) -> str:
    """The text of a document: indented, every character as itself."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"


def pack(record: ChatRecord) -> bytes:
    """The bytes of a chat file; the same for the same record.

    Raises:
        ChatFileError: Something in the record cannot be stored; ``place`` says what.
    """
    media = _Media()
    text = json_of(document_of(record, media.keep, program())).encode("utf-8")
    if len(text) > MOST_DOCUMENT:
        raise ChatFileError(f"has more than the {MOST_DOCUMENT >> 20} MiB of text that a chat file can hold")
    check_amount(text)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, DOCUMENT, text, zipfile.ZIP_DEFLATED)
        for digest, data in sorted(media.found.items()):
            # The other formats are compressed in themselves.
            is_wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
            _add(archive, FOLDER + digest, data, zipfile.ZIP_DEFLATED if is_wav else zipfile.ZIP_STORED)
    return file.getvalue()


def unpack(file: BinaryIO) -> ChatRecord:
    """The record in a chat file.

    Args:
        file: Open for reading, seekable.

    Raises:
        ChatFileError: It is no chat file, damaged, newer, or beyond a limit.
    """
    try:
        size = _check_end(file)
        with zipfile.ZipFile(file) as archive:
            return _Archive(archive, size).record()
    except ChatFileError:
        raise
    except Exception as error:
        # zipfile and zlib raise whatever their parsing runs into.
        reason = str(error) or type(error).__name__
        raise ChatFileError(f"cannot be unpacked: {reason}", hint=_DAMAGED) from error


class _Media:
    """The media of a record, each once."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}
        self._size = 0

    def keep(self, data: bytes) -> dict[str, Any]:
        """Remember ``data``; the fields by which it is found again."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.found:
            self.found[digest] = data
            self._size += len(data)
        if len(self.found) >= MOST_MEMBERS:
            raise ChatFileError(f"is one medium more than the {MOST_MEMBERS - 1:,} that a chat file can hold")
        if self._size > MOST_MEDIA:
            raise ChatFileError(f"is beyond the {MOST_MEDIA >> 20} MiB of media that a chat file can hold")
        return {"sha256": digest, "size": len(data)}


def _plain(value: object) -> object:
    # The checks have seen it: the only thing left that json does not know is a mapping that is no dict.
    return dict(value) if isinstance(value, Mapping) else None


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.create_system = _UNIX
    entry.external_attr = 0o600 << 16
    archive.writestr(entry, data, method, _LEVEL)


def _check_end(file: BinaryIO) -> int:
    """The size of the file; refuses what would make zipfile read a table of contents of any size."""
    size = file.seek(0, io.SEEK_END)
    if size > MOST_FILE:
        raise ChatFileError(f"is larger than {MOST_FILE >> 20} MiB")
    file.seek(0)
    start = file.read(4)
    file.seek(max(0, size - _END_SIZE - _END_64_SIZE))
    tail = file.read(_END_SIZE + _END_64_SIZE)
    end = tail[-_END_SIZE:]
    if start[:2] != b"PK":
        raise ChatFileError("is no chat file", hint="A chat file is a zip archive with a chat.json in it.")
    if len(end) < _END_SIZE or end[:4] != _END or end[-2:] != b"\0\0":
        raise ChatFileError("does not end as a chat file does", hint=_DAMAGED)
    if tail[:4] == _END_64 and len(tail) > _END_SIZE:
        raise ChatFileError("is a zip archive of the 64-bit form, which chat files are not")
    if int.from_bytes(end[12:16], "little") > _MOST_DIRECTORY:
        raise ChatFileError(f"has more than {MOST_MEMBERS:,} members")
    return size


class _Archive:
    """The members of an open chat file."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._size = size
        self._media: dict[str, bytes] = {}
        self._room = MOST_MEDIA
        self._entries: dict[str, zipfile.ZipInfo] = {}
        entries = archive.infolist()
        if len(entries) > MOST_MEMBERS:
            raise ChatFileError(f"has more than {MOST_MEMBERS:,} members")
        for entry in entries:
            name = entry.filename
            if name in self._entries:
                raise ChatFileError("is in the file twice", place=_shown(name), hint=_DAMAGED)
            self._entries[name] = entry

    def record(self) -> ChatRecord:
        """What the members say together."""
        if DOCUMENT not in self._entries:
            raise ChatFileError(
                "is missing", place=DOCUMENT, hint="This is a zip archive, but not of a chat."
            )
        record = record_of(parse_document(self._read(DOCUMENT, MOST_DOCUMENT)), self._fetch)
        passed = [
            f"{_shown(name)} in the file is not used"
            for name in self._entries
            if name != DOCUMENT and name.removeprefix(FOLDER) not in self._media
        ]
        return replace(record, notes=(*record.notes, *passed[:100])) if passed else record

    def _fetch(self, digest: str, size: int, place: str) -> bytes:
        if digest not in self._media:
            name = FOLDER + digest
            if name not in self._entries:
                raise ChatFileError("refers to media that is not in the file", place=place, hint=_DAMAGED)
            data = self._read(name, self._room)
            if hashlib.sha256(data).hexdigest() != digest:
                raise ChatFileError("refers to media that has changed: its hash is another", place=place)
            self._room -= len(data)
            self._media[digest] = data
        data = self._media[digest]
        if len(data) != size:
            raise ChatFileError(f"says {size} bytes, but the media has {len(data)}", place=place)
        return data

    def _read(self, name: str, limit: int) -> bytes:
        """All of a member, which is as large as it says and no larger than ``limit``."""
        entry = self._entries[name]
        if entry.file_size > limit:
            raise ChatFileError(f"is larger than the limit of {limit:,} bytes", place=name)
        if entry.flag_bits & _ENCRYPTED:
            raise ChatFileError("is encrypted", place=name)
        # Others need memory that the file chooses.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ChatFileError("is neither stored nor deflated", place=name)
        if entry.compress_size > self._size:
            raise ChatFileError("is larger than the whole file", place=name, hint=_DAMAGED)
        with self._archive.open(entry) as member:
            data = member.read(entry.file_size + 1)  # compares the checksum
        if len(data) != entry.file_size:
            raise ChatFileError("is not as long as it says", place=name, hint=_DAMAGED)
        return data


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else f"{name[:80]}...")
