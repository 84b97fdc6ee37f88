"""The protobuf reader: stricter than protobuf, and never anything but a ModelFileError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litertlm.errors import ModelFileError
from litertlm.modelfile.protobuf import Field, Schema, parse, wire_fields
from litertlm.modelfile.schema import EXECUTOR_METADATA, LLM_METADATA

from .containers import llm_metadata, proto, varint

INNER: Schema = {1: Field("ids", "int32", repeated=True), 2: Field("text", "string")}
SCHEMA: Schema = {
    1: Field("number", "int32"),
    2: Field("long", "int64"),
    3: Field("flag", "bool"),
    4: Field("share", "float"),
    5: Field("text", "string"),
    6: Field("inner", "message", schema=INNER),
    7: Field("inners", "message", schema=INNER, repeated=True),
    8: Field("a", "string", oneof="choice"),
    9: Field("b", "string", oneof="choice"),
    10: Field("shares", "float", repeated=True),
}


def read(data: bytes) -> dict[str, object]:
    """Read a message as if it stood at position 1000 of a file."""
    return parse(data, SCHEMA, name="message", base=1000)


def test_reads_every_kind_of_field() -> None:
    """Numbers with their sign, packed and single repeated fields, nested messages; unknown fields pass."""
    inner = proto((1, b"\x01\x80\x01"), (1, 7), (2, "in"))
    numbers = proto((1, -5), (2, 1 << 40), (3, 1), (4, 0.5), (10, bytes(8)))
    texts = proto((5, "é"), (6, inner), (7, b""), (7, proto((2, "x"))), (9, "b"))
    data = numbers + texts + proto((99, "unknown"), (98, 3))
    assert read(data) == {
        "number": -5,
        "long": 1 << 40,
        "flag": True,
        "share": 0.5,
        "text": "é",
        "inner": {"ids": [1, 128, 7], "text": "in"},
        "inners": [{}, {"text": "x"}],
        "b": "b",
        "shares": [0.0, 0.0],
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"\x08", "a number is cut", id="cut number"),
        pytest.param(b"\x08" + b"\xff" * 11, "longer than 64 bits", id="endless number"),
        pytest.param(b"\x08" + b"\xff" * 9 + b"\x7f", "longer than 64 bits", id="number of 70 bits"),
        pytest.param(b"\x00\x00", "field number 0", id="field 0"),
        pytest.param(b"\x0b", "wire type 3", id="group"),
        pytest.param(b"\x0f", "wire type 7", id="wire type 7"),
        pytest.param(b"\x2a\x05ab", "is cut after 2", id="cut text"),
        pytest.param(b"\x25\x00", "is cut after 1", id="cut float"),
        pytest.param(proto((5, b"\xff")), "not UTF-8", id="not UTF-8"),
        pytest.param(proto((5, b"a\0")), "NUL", id="NUL"),
        pytest.param(proto((1, "text")), "wire type 2", id="wrong type"),
        pytest.param(proto((1, 1), (1, 2)), "given twice", id="twice"),
        pytest.param(proto((8, "a"), (9, "b")), "excludes a", id="both of a choice"),
        pytest.param(proto((1, 1 << 31)), "beyond 32 bits", id="beyond 32 bits"),
        pytest.param(proto((3, 2)), "neither true nor false", id="bool 2"),
        pytest.param(proto((10, bytes(7))), "is cut", id="packed floats cut"),
        pytest.param(proto((6, proto((1, b"\x80")))), "is cut", id="packed numbers cut"),
    ],
)
def test_refuses(data: bytes, problem: str) -> None:
    """What no writer produces is refused, with the bytes it stands at."""
    with pytest.raises(ModelFileError, match=problem) as caught:
        read(data)
    assert caught.value.place.startswith("message, byte")


def test_place_of_a_nested_field() -> None:
    """The error names the field by its path and the bytes by their position in the file."""
    with pytest.raises(ModelFileError) as caught:
        read(proto((6, proto((1, 1), (2, b"\xff")))))
    assert caught.value.place == "message, bytes 1004..1006: inner.text"


def test_refuses_deep_nesting() -> None:
    """A schema that contains itself cannot be driven into the stack's end."""
    schema: dict[int, Field] = {}
    schema[1] = Field("inner", "message", schema=schema)
    data = b""
    for _ in range(40):
        data = proto((1, data))
    with pytest.raises(ModelFileError, match="16 messages deep"):
        parse(data, schema, name="message")


@given(st.integers(0, 2**64 - 1))
def test_numbers_round_trip(value: int) -> None:
    """Every 64-bit number is read as it was written."""
    assert [field[2] for field in wire_fields(b"\x08" + varint(value), name="message")] == [value]


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever the bytes, reading ends in values or in a ModelFileError with a place."""
    for schema in (SCHEMA, LLM_METADATA, EXECUTOR_METADATA):
        try:
            parse(data, schema, name="message")
        except ModelFileError as error:
            assert error.place


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_edit_of_metadata(edits: list[tuple[int, int]]) -> None:
    """The same for damaged copies of good metadata, which get further."""
    data = bytearray(
        llm_metadata((4, proto((1, 2), (2, 40), (3, 0.9))), (8, proto((1, "thought"), (2, "<"))))
    )
    for at, value in edits:
        data[at % len(data)] = value
    try:
        parse(bytes(data), LLM_METADATA, name="message")
    except ModelFileError as error:
        assert error.place
