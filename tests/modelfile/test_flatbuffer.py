"""The FlatBuffer reader: what it reads, and that damage is an error with a place."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litertlm.errors import ModelFileError
from litertlm.modelfile.flatbuffer import FlatBuffer
from litertlm.modelfile.source import Bytes

from .containers import Numbers, Tab, Tables, Text, flatbuffer

SAMPLE = flatbuffer(
    Tab(
        {
            0: ("Q", 2**40),
            1: Text("päth"),
            3: Tables([Tab({0: ("I", 5)}), Tab({0: ("I", 6), 1: Text("x")})]),
            4: Numbers("i", [1, -2, 3]),
            5: Tab({0: ("f", 0.5), 1: ("?", True), 2: ("b", -3)}),
        }
    ),
    b"TEST",
)


def reader(data: bytes) -> FlatBuffer:
    """Read bytes as if they stood at position 100 of a file."""
    return FlatBuffer(Bytes(data, name="sample", base=100), exclusive=True)


def read_all(data: bytes) -> list[object]:
    """Read everything that the sample's schema has."""
    buffer = reader(data)
    root = buffer.root(identifier=b"TEST")
    found: list[object] = [root.integer(0, "Q"), root.string(1, "path"), root.string(2, "absent")]
    for entry in root.tables(3, 10, "entry"):
        found += [entry.integer(0, "I"), entry.string(1, "name")]
    found.append(root.numbers(4, "i", 10, "numbers"))
    child = root.table(5, "child")
    if child is not None:
        found += [child.number(0, "f"), child.number(1, "?"), child.number(2, "b")]
    found.append(root.blob(4, 100, "numbers") is not None)
    buffer.finish()
    return found


def test_reads_every_kind_of_field() -> None:
    """Scalars, texts, tables, vectors and absent fields come out as they were written."""
    buffer = reader(SAMPLE)
    root = buffer.root(identifier=b"TEST")
    assert (root.integer(0, "Q"), root.string(1, "path"), root.string(2, "absent")) == (2**40, "päth", None)
    entries = root.tables(3, 10, "entry")
    assert [(entry.integer(0, "I"), entry.string(1, "name")) for entry in entries] == [(5, None), (6, "x")]
    assert root.numbers(4, "i", 10, "numbers") == (1, -2, 3)
    child = root.table(5, "child")
    assert child is not None
    assert (child.number(0, "f"), child.number(1, "?"), child.number(2, "b")) == (0.5, True, -3)
    assert (root.integer(9, "I", 7), root.table(9, "none"), root.tables(9, 1, "none")) == (7, None, [])
    assert buffer.finish() <= len(SAMPLE)


def test_error_names_position_in_the_file() -> None:
    """Positions in messages count from the beginning of the file, not of the buffer."""
    with pytest.raises(ModelFileError) as caught:
        reader(b"\xff\xff\xff\x7fTEST").root(identifier=b"TEST")
    assert caught.value.place == "sample, bytes 100..103: offset of the root"


@pytest.mark.parametrize(
    ("at", "data", "problem"),
    [
        pytest.param(0, struct.pack("<I", 0), "leads outside", id="root offset 0"),
        pytest.param(0, struct.pack("<I", 2), "into the offset itself", id="root inside the offset"),
        pytest.param(0, struct.pack("<I", 33), "aligned|not inside|impossible|outside", id="root misaligned"),
        pytest.param(4, b"NEST", "is not TEST", id="identifier"),
    ],
)
def test_refuses_bad_start(at: int, data: bytes, problem: str) -> None:
    """A root that cannot be is refused."""
    damaged = bytearray(SAMPLE)
    damaged[at : at + len(data)] = data
    with pytest.raises(ModelFileError, match=problem):
        read_all(bytes(damaged))


def test_refuses_text_without_end_and_with_nul() -> None:
    """A text ends with NUL where its length says, and has none before."""
    for text in (b"a\0b", b"\xff\xfe"):
        with pytest.raises(ModelFileError, match=r"does not end|not UTF-8"):
            reader(flatbuffer(Tab({0: Text(text)}))).root().string(0, "text")
    data = bytearray(flatbuffer(Tab({0: Text("abc")})))
    data[data.index(b"abc") + 3] = 1
    with pytest.raises(ModelFileError, match="does not end"):
        reader(bytes(data)).root().string(0, "text")


def test_refuses_too_many_items() -> None:
    """A vector is bounded by the caller before memory is taken for it."""
    with pytest.raises(ModelFileError, match="has 3 items, at most 2"):
        reader(flatbuffer(Tab({0: Numbers("i", [1, 2, 3])}))).root().numbers(0, "i", 2, "numbers")


def test_refuses_overlapping_objects() -> None:
    """Two objects that share bytes are damage: here a vector is made to start inside another."""
    data = bytearray(flatbuffer(Tab({0: Numbers("I", [1, 7, 1, 7]), 1: Numbers("I", [9])})))
    root = reader(bytes(data)).root()
    slots = (root.position + 4, root.position + 8)
    first = slots[0] + struct.unpack_from("<I", data, slots[0])[0]
    struct.pack_into("<I", data, slots[1], first + 4 - slots[1])
    buffer = reader(bytes(data))
    root = buffer.root()
    assert [root.numbers(field, "I", 4, f"numbers {field}") for field in (0, 1)] == [(1, 7, 1, 7), (7,)]
    with pytest.raises(ModelFileError, match="numbers 1: overlaps the numbers 0"):
        buffer.finish()


@pytest.mark.parametrize("length", range(len(SAMPLE)))
def test_every_truncation_is_refused_or_read(length: int) -> None:
    """A cut buffer never raises anything else; only padding can go unnoticed."""
    try:
        read_all(SAMPLE[:length])
    except ModelFileError:
        return
    assert length > len(SAMPLE) - 8


@given(st.binary(max_size=256))
def test_any_bytes(data: bytes) -> None:
    """Whatever the bytes, reading ends in values or in a ModelFileError."""
    try:
        read_all(data)
    except ModelFileError as error:
        assert error.place


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_edit(edits: list[tuple[int, int]]) -> None:
    """The same for damaged copies of a good buffer, which get further."""
    data = bytearray(SAMPLE)
    for at, value in edits:
        data[at] = value
    try:
        read_all(bytes(data))
    except ModelFileError as error:
        assert error.place.startswith("sample, byte")
