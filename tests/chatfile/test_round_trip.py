"""What is written is what is read."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import pickle
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest
from hypothesis import given, settings

from litertlm import Audio, Image, Message, Part, Text, ToolCall, ToolResult, Usage
from litertlm.chat.portable import (
    ChatRecord,
    ToolRecord,
    from_bytes,
    read_chat,
    to_bytes,
    to_dict,
    write_chat,
)
from litertlm.errors import ChatFileError, OptionError

from .samples import MORNING, PNG, SAMPLE, WAV, document, members, records


def said(part: Part) -> ChatRecord:
    """A record in which one thing is said."""
    return ChatRecord(history=(Message("user", (part,)),), created=MORNING, saved=MORNING)


@settings(deadline=None)
@given(records())
def test_any_record_comes_back(record: ChatRecord) -> None:
    """With every part, character and number, and types as they were."""
    data = to_bytes(record)
    again = from_bytes(data)
    assert again == record
    assert repr(again.history) == repr(record.history)
    assert to_bytes(again) == data
    assert json.loads(json.dumps(to_dict(record, media="base64"))) == to_dict(record, media="base64")


def test_a_file_holds_the_same(tmp_path: Path) -> None:
    """As bytes do."""
    write_chat(tmp_path / "a.chat", SAMPLE)
    assert read_chat(tmp_path / "a.chat") == SAMPLE
    assert read_chat(str(tmp_path / "a.chat")) == SAMPLE
    assert (tmp_path / "a.chat").read_bytes() == to_bytes(SAMPLE)


def test_a_record_can_be_pickled_and_copied() -> None:
    """It is a value."""
    assert pickle.loads(pickle.dumps(SAMPLE)) == SAMPLE
    assert copy.deepcopy(SAMPLE) == SAMPLE


def test_equal_records_are_equal_files() -> None:
    """At any time of the day."""
    assert to_bytes(SAMPLE) == to_bytes(pickle.loads(pickle.dumps(SAMPLE)))


def test_the_order_of_mappings_stays() -> None:
    """A template may show it to the model; the keys of the format are sorted."""
    backwards = {"z": 1, "m": {"b": 1, "a": 2}, "a": 3}
    record = replace(
        said(ToolCall("1", "f", backwards)), tools=(ToolRecord("f", "", backwards),), settings=backwards
    )
    again = from_bytes(to_bytes(record))
    call = again.history[0].tool_calls[0]
    for mapping in (call.arguments, again.tools[0].parameters, again.settings):
        assert json.dumps(mapping) == json.dumps(backwards)
    assert list(document()) == sorted(document())


def test_the_same_medium_is_stored_once() -> None:
    """And is one object again when it is read."""
    names = [name for name in members(to_bytes(SAMPLE)) if name != "chat.json"]
    assert sorted(names) == sorted(f"media/{hashlib.sha256(data).hexdigest()}" for data in (PNG, WAV))
    history = from_bytes(to_bytes(SAMPLE)).history
    first, second = history[1].parts[0], history[5].parts[1]
    assert isinstance(first, Image)
    assert isinstance(second, Image)
    assert first.source is second.source


def test_sound_is_compressed_and_pictures_are_not() -> None:
    """Pictures are compressed in themselves."""
    quiet = to_bytes(said(Audio(b"RIFF\0\0\0\0WAVE" + bytes(100_000))))
    picture = to_bytes(said(Image(b"\x89PNG" + bytes(100_000))))
    assert len(quiet) < 5_000
    assert len(picture) > 100_000


def test_every_field_of_the_messages_is_stored() -> None:
    """Who adds a field or a kind of part to messages.py teaches the format first."""
    known = {
        Message: {"role", "parts"},
        Text: {"text"},
        Image: {"source"},
        Audio: {"source", "sample_rate"},
        ToolCall: {"id", "name", "arguments", "error"},
        ToolResult: {"call_id", "name", "result"},
    }
    for kind, names in known.items():
        assert {field.name for field in dataclasses.fields(kind)} == names
    assert set(get_args(Part)) == set(known) - {Message}


def test_all_of_usage_is_stored() -> None:
    """Whatever fields it has."""
    usage = Usage(*range(3, 3 + len(dataclasses.fields(Usage))))
    assert from_bytes(to_bytes(replace(SAMPLE, usage=usage))).usage == usage


@pytest.mark.parametrize(
    "text",
    [
        "\u2060<start_of_turn>",
        "\0\x01\x1b[31m\x7f\x85",
        "\r\n\r \u2028\u2029",
        "\ufeff\ufffe\uffff",
        "e\u0301\u00e9",
    ],
    ids=ascii,
)
def test_unusual_characters_come_back(text: str) -> None:
    """No normalisation, no newline translation."""
    assert from_bytes(to_bytes(said(Text(text)))).history[0].text == text


def test_a_huge_tool_result_comes_back() -> None:
    """Megabytes of it."""
    result = {"rows": [[i, str(i), i / 7] for i in range(50_000)], "page": "long " * 500_000}
    part = from_bytes(to_bytes(said(ToolResult("1", "query", result)))).history[0].parts[0]
    assert part == ToolResult("1", "query", result)


def test_a_longer_chat_takes_proportionally_longer() -> None:
    """Ten times the messages take about ten times the time, not a hundred times."""

    def seconds(count: int) -> float:
        record = replace(SAMPLE, history=SAMPLE.history[1:3] * (count // 2), turns=tuple(range(0, count, 2)))
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            assert from_bytes(to_bytes(record)) == record
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(10_000) < 40 * seconds(1_000)


def test_sequences_and_mappings_become_lists_and_dicts() -> None:
    """What JSON has no word for."""
    again = from_bytes(to_bytes(said(ToolResult("1", "f", MappingProxyType({"a": (1, 2)})))))
    assert again.history[0].parts[0] == ToolResult("1", "f", {"a": [1, 2]})


def test_times_are_kept_to_the_microsecond_in_utc() -> None:
    """Whatever zone they are in."""
    moment = datetime(2025, 7, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    again = from_bytes(to_bytes(replace(SAMPLE, saved=moment)))
    assert again.saved == moment
    assert again.saved.tzinfo is timezone.utc
    assert document(replace(SAMPLE, saved=moment))["saved"] == "2025-07-01T10:00:00.000005Z"


def test_a_record_knows_its_beginning() -> None:
    """The system text, and what was there before the first turn."""
    assert SAMPLE.system == "Be brief."
    assert SAMPLE.preface == SAMPLE.history[:1]
    assert ChatRecord().system == ""
    assert replace(SAMPLE, turns=()).preface == SAMPLE.history


def test_the_log_form_has_hashes_or_the_media_themselves() -> None:
    """As asked."""
    hashed = to_dict(SAMPLE)
    assert hashed == document()
    whole = to_dict(SAMPLE, media="base64")
    part = whole["history"][1]["parts"][0]
    assert base64.b64decode(part.pop("base64")) == PNG
    assert part == hashed["history"][1]["parts"][0]
    with pytest.raises(OptionError, match="'hash' or 'base64'"):
        to_dict(SAMPLE, media="path")  # type: ignore[arg-type]


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            said(Text("a\ud800")),
            r"history[0].parts[0].text is not valid Unicode text (lone surrogate at position 1)",
        ),
        (said(Text(5)), "history[0].parts[0].text is not a text, but a number"),  # type: ignore[arg-type]
        (said(Image("a.png")), "history[0].parts[0] holds no encoded bytes, but a str. Take messages from"),
        (said(Audio(WAV, -1)), "history[0].parts[0].sample_rate is not a whole number, 0 or more: -1"),
        (said("hi"), "history[0].parts[0] is not a part of a message, but a str"),  # type: ignore[arg-type]
        (said(ToolCall("1", "f", [])), "history[0].parts[0].arguments is not a mapping, but a list"),  # type: ignore[arg-type]
        (
            said(ToolCall("1", "f", {"a": [0, b"x"]})),
            "parts[0].arguments.a[1] is not a JSON value, but a Python object",
        ),
        (said(ToolResult("1", "f", float("nan"))), "parts[0].result is not a finite number"),
        (said(ToolResult("1", "f", {"a b": {1: 2}})), 'parts[0].result["a b"] has a key that is no text: 1'),
        (
            said(ToolResult("1", "f", {"\ud800": 2})),
            r"result has a key that is not valid Unicode text: '\ud800'",
        ),
        (said(ToolResult("1", "f", 10**1000)), "result is a whole number of more than 1,000 digits"),
        (said(ToolResult("1", "f", LOOP)), "[0] is nested more than 100 deep"),
        (replace(SAMPLE, settings={"stop": {1}}), "settings.stop is not a JSON value"),
        (replace(SAMPLE, settings=[]), "settings is not a mapping"),
        (
            replace(SAMPLE, turns=(1, 1)),
            "turns[1] is not the index of a message after the turn before it: 1 of 7",
        ),
        (replace(SAMPLE, turns=(7,)), "turns[0] is not the index of a message"),
        (replace(SAMPLE, token_count=True), "token_count is not a whole number"),
        (replace(SAMPLE, saved=datetime(2025, 1, 1)), "saved is not a datetime with a time zone"),
        (
            replace(SAMPLE, history=(Message("robot", ()),), turns=()),
            "history[0].role is not a role: 'robot'",
        ),  # type: ignore[arg-type]
        (replace(SAMPLE, tools=(ToolRecord("f", None),)), "tools[0].description is not a text, but null"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_refused(record: ChatRecord, message: str) -> None:
    """With its place."""
    with pytest.raises(ChatFileError) as caught:
        to_bytes(record)
    assert message in str(caught.value)
    assert caught.value.place
