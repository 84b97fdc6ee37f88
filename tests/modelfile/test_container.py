"""The frame of the file: preamble, header, section table, and what is refused there."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from litertlm import modelfile
from litertlm.errors import ModelFileError

from . import containers
from .containers import ALIGNMENT, Part, Tab, Tables, container, flatbuffer, item, parts

Refused: TypeAlias = Callable[[bytes], ModelFileError]


def edited(data: bytes, at: int, piece: bytes) -> bytes:
    """Put other bytes in a place."""
    return data[:at] + piece + data[at + len(piece) :]


@pytest.mark.parametrize(
    ("at", "piece", "place", "problem"),
    [
        pytest.param(0, b"X", "preamble, bytes 0..7: magic", "is not LITERTLM", id="magic"),
        pytest.param(8, b"\2", "preamble, bytes 8..19: version", "version 2.7.0", id="version"),
        pytest.param(
            24, bytes(8), "preamble, bytes 24..31: end of header", "0 is impossible", id="no header"
        ),
        pytest.param(
            24, b"\xff" * 8, "preamble, bytes 24..31: end of header", "is impossible", id="endless header"
        ),
        pytest.param(
            24,
            struct.pack("<Q", 999_999),
            "preamble, bytes 24..31: end of header",
            "is beyond",
            id="long header",
        ),
        pytest.param(
            32, b"\xff\xff\xff\x7f", "header, bytes 32..35: offset of the header table", "outside", id="root"
        ),
    ],
)
def test_refuses_preamble(refused: Refused, at: int, piece: bytes, place: str, problem: str) -> None:
    """Each field of the preamble is checked, and named when it is wrong."""
    error = refused(edited(containers.model(), at, piece))
    assert (error.place, problem in error.problem) == (place, True), error


def test_newer_version_says_what_to_do(refused: Refused) -> None:
    """A file of the next major version is not called damaged."""
    assert refused(edited(containers.model(), 8, b"\2")).hint == "Upgrade litertlm."


def test_newer_minor_version_may_add(tmp_path: Path) -> None:
    """A newer minor version is opened, with sections and attribute types that are not known yet."""
    path = tmp_path / "newer.litertlm"
    extra = Part("generic", b"?", code=42, items=[item("k", ("I", 1), code=77), item("n", "1")])
    path.write_bytes(container([*parts(), extra], version=(1, 8, 0)))
    section = modelfile.describe(path).sections[-1]
    assert (section.kind, dict(section.attributes)) == ("unknown", {"n": "1"})


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"LITE", "preamble, bytes 0..31: the file ends after 4 bytes", id="cut in the magic"),
        pytest.param(b"GGUF\3\0\0\0", "a GGUF file", id="GGUF"),
        pytest.param(b"\x1c\0\0\0TFL3" + bytes(64), "a bare TFLite model", id="TFLite"),
        pytest.param(b"PK\x03\x04" + bytes(64), "a zip archive", id="task bundle"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", id="LFS pointer"),
        pytest.param(b"<!DOCTYPE html><title>Sign in</title>", "a web page", id="web page"),
        pytest.param(b"hello, this is a text and not a model", "is not LITERTLM", id="text"),
    ],
)
def test_says_what_else_it_is(refused: Refused, data: bytes, what: str) -> None:
    """Files that people take for models are named, and the hint says what to do."""
    error = refused(data)
    assert what in str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"begin": ALIGNMENT + 16}, "not a multiple of 16384", id="begin not aligned"),
        pytest.param({"begin": 0}, "ends at|overlaps", id="begin in the header"),
        pytest.param({"begin": 2 * ALIGNMENT}, "begins at 32768|overlaps", id="begin in another section"),
        pytest.param({"end": ALIGNMENT}, "ends at 16384, but begins at 16384", id="empty section"),
        pytest.param({"end": 2**63}, "but the file has only", id="end beyond the file"),
        pytest.param({"end": 2 * ALIGNMENT + 1}, "overlaps", id="end in the next section"),
        pytest.param({"code": 0}, "data type 0 is unknown", id="no data type"),
        pytest.param({"code": 99}, "data type 99 is unknown", id="unknown data type"),
        pytest.param({"items": [item("a", "1"), item("a", "2")]}, "'a' is given twice", id="attribute twice"),
        pytest.param({"items": [item("", "1")]}, "has no key", id="attribute without key"),
        pytest.param({"items": [item(b"\xff", "1")]}, "not UTF-8", id="attribute not UTF-8"),
        pytest.param({"items": [item("a", ("I", 1), code=13)]}, "unknown type 13", id="attribute type"),
        pytest.param({"items": [Tab({0: containers.Text("a"), 1: ("B", 9)})]}, "no value", id="no value"),
        pytest.param({"items": [item("model_type", ("I", 1))]}, "not a text", id="model_type a number"),
    ],
)
def test_refuses_section_table(refused: Refused, change: dict[str, object], problem: str) -> None:
    """Each entry of the section table is checked; the error names the section."""
    first, *others = parts()
    for name, value in change.items():
        setattr(first, name, value)
    error = refused(container([first, *others]))
    assert re.search(problem, error.problem), error
    assert "section 0" in error.place or "section 1" in error.place


@pytest.mark.parametrize("header", [Tab({}), Tab({1: Tab({})}), Tab({1: Tab({0: Tables([])})})])
def test_refuses_header_without_sections(refused: Refused, header: Tab) -> None:
    """A well-formed header that lists nothing is refused."""
    data = flatbuffer(header)
    assert "section" in str(refused(struct.pack("<8s4IQ", b"LITERTLM", 1, 7, 0, 0, 32 + len(data)) + data))


def test_truncated_file_says_so(refused: Refused) -> None:
    """The error of a cut file names the section that is cut, and the hint is to download it again."""
    error = refused(containers.model()[: 3 * ALIGNMENT + 100])
    assert "tf_lite_prefill_decode ends at" in error.problem
    assert error.hint == "The file is truncated: download it again."


def test_every_bit_of_the_header(tmp_path: Path) -> None:
    """No single flipped bit before the first section raises anything but a ModelFileError with a place."""
    model = containers.model()
    end = struct.unpack_from("<Q", model, 24)[0]
    path = tmp_path / "flipped"
    refusals = 0
    for at in range(end):
        for bit in range(8):
            path.write_bytes(edited(model, at, bytes([model[at] ^ 1 << bit])))
            try:
                modelfile.open_model(path).close()
            except ModelFileError as error:
                assert error.place or error.problem.startswith("is a")
                refusals += 1
    assert refusals > end * 4
