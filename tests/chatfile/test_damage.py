"""Damaged files give the record that was written, or a ChatFileError. Nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from litertlm.chat.portable import from_bytes, to_bytes
from litertlm.errors import ChatFileError

from .samples import SAMPLE, document, members, values, zipped

WHOLE = to_bytes(replace(SAMPLE, history=SAMPLE.history[:4], turns=(1,)))
RECORD = from_bytes(WHOLE)


def check(data: bytes) -> bool:
    """Read it; whether that was refused."""
    try:
        assert from_bytes(data) == RECORD
    except ChatFileError as error:
        assert str(error)
        return True
    return False


def test_every_flipped_bit() -> None:
    """One after the other; what is not refused is in times and permissions, which nobody reads."""
    refused = 0
    for place in range(len(WHOLE)):
        for bit in range(8):
            damaged = bytearray(WHOLE)
            damaged[place] ^= 1 << bit
            refused += check(bytes(damaged))
    assert refused > 0.8 * 8 * len(WHOLE)


def test_every_truncation() -> None:
    """None is taken for a whole file."""
    assert all(check(WHOLE[:size]) for size in range(len(WHOLE)))
    assert all(check(WHOLE[start:]) for start in range(1, len(WHOLE)))


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Pieces overwritten, taken out, put in and moved."""
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(len(damaged), start + 50)))
        piece = data.draw(st.binary(max_size=50) | st.just(bytes(damaged[end : end + 50])))
        damaged[start:end] = piece
    check(bytes(damaged))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04"]), st.sampled_from([b"", WHOLE[-22:]]))
def test_any_bytes(middle: bytes, start: bytes, end: bytes) -> None:
    """With or without what a zip begins and ends with."""
    check(start + middle + end)


def ways(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values in a document."""
    found = [way]
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += ways(item, (*way, step))
    return found


WAYS = [way for way in ways(document()) if way]
strange = values | st.sampled_from(["\ud800", 10**30, -1, "text", "image", "", [[]], {"kind": "text"}, 1e308])


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_any_value_anywhere_in_the_document(data: st.DataObject) -> None:
    """A file that is whole, but says something else: it is read and can be written again, or is refused."""
    doc = document()
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(WAYS))
        target = doc
        try:
            for step in way:
                target = target[step]
            action = data.draw(st.sampled_from(["replace", "remove", "add"]))
            if action == "replace":
                target[last] = data.draw(strange)
            elif action == "remove":
                del target[last]
            elif isinstance(target, dict):
                target[data.draw(st.text(max_size=5))] = data.draw(strange)
            else:
                target.append(data.draw(strange))
        except (LookupError, TypeError, AttributeError):
            continue  # an earlier change took it away
    contents = members(to_bytes(SAMPLE))
    contents["chat.json"] = json.dumps(doc).encode()
    try:
        record = from_bytes(zipped(contents))
    except ChatFileError as error:
        assert error.place
    else:
        assert from_bytes(to_bytes(record)) == record
