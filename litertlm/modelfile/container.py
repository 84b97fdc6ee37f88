"""The container: a fixed preamble, a FlatBuffer with the section table, and the sections.

All numbers are little endian::

    0   8 bytes   "LITERTLM"
    8   3 x u32   version: major, minor, patch
    20  u32       not used
    24  u64       end of the header
    32            the header: FlatBuffer {system_metadata, section_metadata}
    ...           sections, each at a multiple of 16384

The header's schema, by field number::

    root            0 system_metadata {0 entries: [item]}, 1 section_metadata {0 objects: [section]}
    section         0 items: [item], 1 begin: u64, 2 end: u64, 3 data type: u8
    item            0 key: string, 1 type of value: u8, 2 value {0 value}
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from litertlm.errors import ModelFileError
from litertlm.modelfile.description import Section
from litertlm.modelfile.flatbuffer import FlatBuffer, Table
from litertlm.modelfile.source import DAMAGED, TRUNCATED, Bytes, FileRange, refuse

__all__ = ["ALIGNMENT", "Container", "read_container"]

MAGIC = b"LITERTLM"
MAJOR, MINOR = 1, 7
ALIGNMENT = 16384
"""Sections begin at multiples of this many bytes: the largest page size of the machines that map them."""

_PREAMBLE = struct.Struct("<8s4IQ")
_MOST_HEADER = 1 << 20
_MOST_SECTIONS = 256
_MOST_ITEMS = 256

_KINDS = {
    1: "generic",
    2: "deprecated",
    3: "tflite_model",
    4: "sp_tokenizer",
    5: "llm_metadata",
    6: "hf_tokenizer",
    7: "tflite_weights",
    8: "embedding_metadata",
    9: "executor_metadata",
    10: "tts_metadata",
    11: "asr_metadata",
}

# Value types of an item: the letter of `struct`, or "s" for a string.
_VALUE_TYPES = {
    1: "B", 2: "b", 3: "H", 4: "h", 5: "I", 6: "i", 7: "f", 8: "?", 9: "s", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip

_LANGUAGE_MODEL = "tf_lite_prefill_decode"  # what a graph without a model_type is taken for

# What people take for a model: (where, bytes, what it is, what to do).
_MISTAKEN = (
    (0, b"GGUF", "a GGUF file", "This runtime takes .litertlm models; llama.cpp takes this one."),
    (4, b"TFL3", "a bare TFLite model", "It must be packaged with its tokenizer as a .litertlm file first."),
    (0, b"PK\x03\x04", "a zip archive, perhaps a .task bundle", "Get the .litertlm file of the same model."),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file", "Run 'git lfs pull'."),
    (0, b"<", "a web page or XML", "The download went wrong: get the file itself, not its page."),
)


@dataclass(frozen=True, slots=True)
class Container:
    """The verified frame of a file.

    Attributes:
        version: Major, minor, patch.
        sections: The section table.
        properties: Items about the whole file.
    """

    version: tuple[int, int, int]
    sections: tuple[Section, ...]
    properties: Mapping[str, str | int | float | bool]


def read_container(descriptor: int, size: int) -> Container:
    """Read and verify preamble, header and section table.

    Args:
        descriptor: The open file.
        size: Its length in bytes.

    Raises:
        ModelFileError: Something is not as it must be; the error names the place.
    """
    version, header_end = _read_preamble(descriptor, size)
    header = Bytes(
        FileRange(descriptor, 0, size, name="file").read(_PREAMBLE.size, header_end),
        name="header",
        base=_PREAMBLE.size,
    )
    buffer = FlatBuffer(header, exclusive=True)
    root = buffer.root("header table")
    system = root.table(0, "file properties")
    table = root.table(1, "section table")
    if table is None:
        root.fail(1, "has no section table")
    newer = version[1] > MINOR
    properties = _items(system, "file property", newer) if system else MappingProxyType({})
    sections = tuple(
        _section(entry, number, size, newer)
        for number, entry in enumerate(table.tables(0, _MOST_SECTIONS, "section"))
    )
    buffer.finish()
    if not sections:
        table.fail(0, "lists no sections")
    _check_order(sections, header_end)
    return Container(version, sections, properties)


def _read_preamble(descriptor: int, size: int) -> tuple[tuple[int, int, int], int]:
    if size == 0:
        raise ModelFileError("the file is empty", hint="Download it again.")
    start = FileRange(descriptor, 0, size, name="file").read(0, min(size, _PREAMBLE.size))
    if start[:8] != MAGIC[: len(start)]:
        for at, mark, what, hint in _MISTAKEN:
            if start.startswith(mark, at):
                raise ModelFileError(f"is {what}", hint=hint)
        hint = "This is not a .litertlm model file."
        refuse("preamble", 0, 8, "is not LITERTLM", what="magic", hint=hint)
    if len(start) < _PREAMBLE.size:
        refuse("preamble", 0, _PREAMBLE.size, f"the file ends after {size} bytes", hint=TRUNCATED)
    _, major, minor, patch, _, header_end = _PREAMBLE.unpack(start)
    if major != MAJOR:
        problem = f"version {major}.{minor}.{patch} is not supported, only version {MAJOR}"
        hint = "Upgrade litertlm." if MAJOR < major < 100 else DAMAGED
        refuse("preamble", 8, 20, problem, what="version", hint=hint)
    if not _PREAMBLE.size + 8 <= header_end <= _PREAMBLE.size + _MOST_HEADER:
        refuse("preamble", 24, 32, f"{header_end} is impossible", what="end of header")
    if header_end > size:
        problem = f"{header_end} is beyond the {size} bytes of the file"
        refuse("preamble", 24, 32, problem, what="end of header", hint=TRUNCATED)
    return (major, minor, patch), header_end


def _section(entry: Table, number: int, size: int, newer: bool) -> Section:
    attributes = _items(entry, f"section {number} item", newer)
    begin, end = entry.integer(1, "Q"), entry.integer(2, "Q")
    code = entry.integer(3, "B")
    kind = _KINDS.get(code, "unknown" if newer else "")
    if not kind or not code:
        entry.fail(3, f"data type {code} is unknown")
    model_type = attributes.get("model_type", _LANGUAGE_MODEL if kind == "tflite_model" else "")
    if not isinstance(model_type, str):
        entry.fail(0, "its model_type is not a text")
    if begin % ALIGNMENT:
        entry.fail(1, f"begins at {begin}, which is not a multiple of {ALIGNMENT}")
    if end <= begin:
        entry.fail(2, f"ends at {end}, but begins at {begin}")
    if end > size:
        entry.fail(
            2, f"{model_type or kind} ends at {end}, but the file has only {size} bytes", hint=TRUNCATED
        )
    return Section(kind, model_type.lower(), begin, end, attributes)


def _items(table: Table, what: str, newer: bool) -> Mapping[str, str | int | float | bool]:
    items: dict[str, str | int | float | bool] = {}
    for item in table.tables(0, _MOST_ITEMS, what):
        key = item.string(0, f"{item.what}, key")
        if not key:
            item.fail(0, "has no key")
        if key in items:
            item.fail(0, f"key {key!r} is given twice")
        code = item.integer(1, "B")
        letter = _VALUE_TYPES.get(code)
        if letter is None:
            if newer and code:
                continue
            item.fail(1, f"its value is of the unknown type {code}")
        value = item.table(2, f"{item.what}, value")
        if value is None:
            item.fail(2, "has no value")
        if letter == "s":
            text = value.string(0, f"{item.what}, text")
            if text is None:
                value.fail(0, "has no text")
            items[key] = text
        else:
            items[key] = value.number(0, letter)
    return MappingProxyType(items)


def _check_order(sections: tuple[Section, ...], header_end: int) -> None:
    last_end, last = header_end, "the header"
    for number, section in sorted(enumerate(sections), key=lambda pair: pair[1].begin):
        name = f"section {number} ({section.model_type or section.kind})"
        if section.begin < last_end:
            refuse(name, section.begin, section.end, f"overlaps {last}")
        last_end, last = section.end, name
