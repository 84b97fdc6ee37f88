"""Files that somebody made on purpose."""

from __future__ import annotations

import io
import json
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from litertlm import Message, Text
from litertlm.chat.portable import ChatRecord, archive, from_bytes, to_bytes
from litertlm.chat.portable import document as parsing
from litertlm.errors import ChatFileError

from .samples import PNG, SAMPLE, document, members, with_document, zipped


def refusal(data: bytes) -> ChatFileError:
    """The error that reading gives."""
    with pytest.raises(ChatFileError) as caught:
        from_bytes(data)
    return caught.value


def edited(change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The sample's file after a change to its members."""
    contents = members(to_bytes(SAMPLE))
    change(contents)
    return zipped(contents)


def picture_of(contents: dict[str, bytes]) -> str:
    """The name of the picture's member."""
    return next(name for name, data in contents.items() if data == PNG)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no chat file"),
        (b"PK", "does not end as a chat file does"),
        (b"GGUF" + bytes(100), "is no chat file. A chat file is a zip archive with a chat.json in it."),
        (zipped({"a.txt": b""}), "chat.json is missing. This is a zip archive, but not of a chat."),
        (zipped({}), "chat.json is missing"),
        (zipped({"chat.json": b""}), "chat.json is not valid JSON in UTF-8"),
        (zipped({"chat.json": b'{"a": "\xff"}'}), "chat.json is not valid JSON in UTF-8"),
        (zipped({"chat.json": b"[1]"}), "chat.json is not the document of a chat"),
        (zipped({"chat.json": b"{}"}), "chat.json is not the document of a chat"),
        (zipped({"chat.json": b'{"format": 1, "format": 1}'}), 'the key "format" comes twice'),
        (zipped({"chat.json": b'{"format": NaN}'}), "NaN is no JSON number"),
        (zipped({"chat.json": b'{"format": %s}' % (b"9" * 100_000)}), "more than 1,000 digits"),
        (zipped({"chat.json": b"[" * 1_000_000}), "chat.json is nested too deeply"),
        (zipped({"chat.json": b'{"a":' * 1_000_000}), "chat.json is nested too deeply"),
    ],
)
def test_what_is_no_chat_file_is_refused(data: bytes, message: str) -> None:
    """And said to be none."""
    assert message in str(refusal(data))


def test_the_error_has_the_place_and_the_problem() -> None:
    """For programs."""
    error = refusal(with_document(lambda doc: doc["history"][3]["parts"][0].update(name=[])))
    assert error.place == "history[3].parts[0].name"
    assert error.problem == "is not a text, but a list"
    assert str(error) == "history[3].parts[0].name is not a text, but a list"


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (["history"], {}, "history is not a list, but an object"),
        (["history", 0], "x", "history[0] is not an object, but a text"),
        (["history", 0, "role"], "robot", "history[0].role is not a role: 'robot'"),
        (["history", 0, "parts", 0, "kind"], "image", "history[0].parts[0].sha256 is missing"),
        (
            ["history", 0, "parts", 0, "kind"],
            "smell",
            "history[0].parts[0].kind is not a kind of part: 'smell'",
        ),
        (
            ["history", 0, "parts", 0, "text"],
            "\ud800",
            "is not valid Unicode text (lone surrogate at position 0)",
        ),
        (
            ["history", 1, "parts", 0, "sha256"],
            "../../etc/passwd",
            "is not a SHA-256 in lower-case hexadecimal",
        ),
        (
            ["history", 1, "parts", 0, "sha256"],
            "0" * 64,
            "history[1].parts[0] refers to media that is not in the file",
        ),
        (["history", 1, "parts", 0, "size"], 3, "history[1].parts[0] says 3 bytes, but the media has 18"),
        (
            ["history", 1, "parts", 0, "size"],
            18.0,
            "history[1].parts[0].size is not a whole number, but a number",
        ),
        (
            ["history", 2, "parts", 1, "arguments"],
            [],
            "history[2].parts[1].arguments is not an object, but a list",
        ),
        (
            ["history", 3, "parts", 0, "result"],
            {"a": ["\udfff"]},
            "history[3].parts[0].result.a[0] is not valid",
        ),
        (["turns"], [5, 1], "turns[1] is not the index of a message after the turn before it: 1 of 7"),
        (["turns", 0], -1, "turns[0] is out of range"),
        (["turns", 0], True, "turns[0] is not a whole number, but true or false"),
        (["usage", "prompt_tokens"], 2**70, "usage.prompt_tokens is out of range"),
        (["saved"], "2025-02-30T00:00:00Z", "saved is not a time such as 2025-01-31T12:30:00Z"),
        (["saved"], "2025-01-01T00:00:00+02:00", "saved is not a time such as"),
        (["saved"], "\u0662025-01-01T00:00:00Z", "saved is not a time such as"),
        (["model", "digest"], None, "model.digest is not a text, but null"),
        (["tools", 0, "parameters"], None, "tools[0].parameters is not an object, but null"),
        (["settings"], [], "settings is not an object, but a list"),
        (["written_by"], 5, "written_by is not a text, but a number"),
        (["format"], "1", "format is not a whole number, but a text"),
        (["format"], 2, "format is 2; this version reads format 1 (the file was written by litertlm"),
        (["format"], 0, "format is 0; this version reads format 1"),
    ],
)
def test_wrong_values_are_refused_where_they_are(way: list[str | int], value: object, message: str) -> None:
    """Every kind of value, in every kind of place."""

    def change(doc: Any) -> None:
        for step in way[:-1]:
            doc = doc[step]
        doc[way[-1]] = value

    assert message in str(refusal(with_document(change)))


@pytest.mark.parametrize("name", [name for name in document() if name != "format"])
def test_nothing_may_be_missing(name: str) -> None:
    """Every key of the document is needed."""
    assert str(refusal(with_document(lambda doc: doc.__delitem__(name)))) == f"{name} is missing"


def test_a_newer_kind_of_part_says_who_wrote_it() -> None:
    """Passing over what was said would change the conversation."""

    def change(doc: Any) -> None:
        doc.update(minor=3, written_by="litertlm 7.1")
        doc["history"][2]["parts"].insert(0, {"kind": "thinking", "text": "Hm."})

    assert str(refusal(with_document(change))) == (
        "history[2].parts[0].kind is not a kind of part: 'thinking'; the file was written by litertlm 7.1 in "
        "format 1.3, and this version reads 1.0. Open it with a newer litertlm."
    )


def test_newer_keys_are_passed_over_with_a_note() -> None:
    """They do not change the conversation. Settings keep what they do not know."""

    def change(doc: Any) -> None:
        doc.update(minor=3, written_by="litertlm 7.1", title="Weather")
        doc["usage"]["cached_tokens"] = 5
        doc["history"][0]["parts"][0]["language"] = "en"
        del doc["usage"]["audio_tokens"]

    record = from_bytes(with_document(change))
    assert record.history == SAMPLE.history
    assert record.settings == SAMPLE.settings
    assert record.usage.audio_tokens == 0
    assert record.written_by == "litertlm 7.1, format 1.3"
    assert record.notes == (
        "title is not known here, and is passed over",
        "history[0].parts[0].language is not known here, and is passed over",
        "usage.cached_tokens is not known here, and is passed over",
    )


def test_notes_are_few() -> None:
    """However much is passed over."""
    record = from_bytes(with_document(lambda doc: doc.update({f"key {i}": 0 for i in range(5_000)})))
    assert len(record.notes) <= 100


def test_other_members_are_noted_and_not_read() -> None:
    """Whatever they are called."""
    data = edited(lambda contents: contents.update({"../../evil.sh": b"x", "media/": b"", "b" * 500: b""}))
    record = from_bytes(data)
    assert record == SAMPLE
    assert [note.split(" in the file")[0] for note in record.notes][:2] == ["'../../evil.sh'", "'media/'"]


def test_media_that_has_changed_is_refused() -> None:
    """Its name is its hash."""
    data = edited(lambda contents: contents.update({picture_of(contents): PNG[::-1]}))
    assert "history[1].parts[0] refers to media that has changed" in str(refusal(data))


def test_a_member_that_comes_twice_is_refused() -> None:
    """Which of them counts would depend on the program."""
    file = io.BytesIO(to_bytes(SAMPLE))
    with zipfile.ZipFile(file, "a") as added, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        added.writestr("chat.json", b"{}")
    assert str(refusal(file.getvalue())).startswith("'chat.json' is in the file twice")


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    """A thousand times its size, if it were."""
    data = zipped({"chat.json": bytes(archive.MOST_DOCUMENT + 1)})
    assert len(data) < 100_000
    tracemalloc.start()
    try:
        assert "chat.json is larger than the limit" in str(refusal(data))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_that_understates_its_size_is_refused() -> None:
    """No more is unpacked than is declared."""
    data = bytearray(zipped({"chat.json": bytes(50 << 20)}))
    declared = (50 << 20).to_bytes(4, "little")
    small = bytes(data).replace(declared, (1000).to_bytes(4, "little"))
    assert small != bytes(data)
    tracemalloc.start()
    try:
        refusal(small)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_all_media_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be small; both sides refuse."""
    data = to_bytes(SAMPLE)
    monkeypatch.setattr(archive, "MOST_MEDIA", 4020)
    assert "is larger than the limit of 4,0" in str(refusal(data))
    with pytest.raises(ChatFileError, match=r"history\[5\].parts\[0\] is beyond the 0 MiB of media"):
        to_bytes(SAMPLE)


def test_the_text_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """On both sides."""
    data = to_bytes(SAMPLE)
    monkeypatch.setattr(archive, "MOST_DOCUMENT", 1000)
    assert "chat.json is larger than the limit of 1,000 bytes" in str(refusal(data))
    with pytest.raises(ChatFileError, match="of text that a chat file can hold"):
        to_bytes(SAMPLE)


def test_the_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file could become millions of objects. Brackets in texts count for nothing."""
    lists = zipped({"chat.json": b"[" + b"[]," * 2_000_000 + b"[]]"})
    assert len(lists) < 10_000
    assert "chat.json holds more than 2,000,000 values" in str(refusal(lists))
    data = to_bytes(SAMPLE)
    brackets = (Message("user", (Text('[{,"\\"[{,\\\\' * 1000),)),)
    monkeypatch.setattr(parsing, "MOST_VALUES", 120)
    assert from_bytes(to_bytes(replace(SAMPLE, history=brackets, turns=()))).history == brackets
    assert from_bytes(data) == SAMPLE
    monkeypatch.setattr(parsing, "MOST_VALUES", 30)
    assert "holds more than 30 values" in str(refusal(data))
    with pytest.raises(ChatFileError, match=r"chat\.json holds more than 30 values"):
        to_bytes(SAMPLE)


def test_the_number_of_members_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """On both sides."""
    data = to_bytes(SAMPLE)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    assert "has more than 2 members" in str(refusal(data))
    with pytest.raises(ChatFileError, match="is one medium more than the 1 that a chat file can hold"):
        to_bytes(SAMPLE)


def test_a_huge_table_of_contents_is_refused_unread() -> None:
    """Every entry would become an object."""
    data = bytearray(to_bytes(SAMPLE))
    data[-10:-6] = (1 << 30).to_bytes(4, "little")
    assert "has more than 10,000 members" in str(refusal(bytes(data)))
    locator = b"PK\x06\x07" + bytes(16)
    whole = to_bytes(SAMPLE)
    assert "64-bit" in str(refusal(whole[:-22] + locator + whole[-22:]))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    """Some let the file choose how much memory they need."""
    assert "chat.json is neither stored nor deflated" in str(
        refusal(zipped(members(to_bytes(SAMPLE)), method))
    )


def test_an_archive_packed_again_is_read() -> None:
    """By hand, in any order, with other times."""
    contents = members(to_bytes(SAMPLE))
    assert from_bytes(zipped(dict(reversed(contents.items())))) == SAMPLE
    assert from_bytes(zipped(contents, zipfile.ZIP_STORED)) == SAMPLE


def test_nothing_is_made_of_what_a_file_says() -> None:
    """A document can only become a record; what looks like a program in it is text."""
    evil = {"__reduce__": ["os.system", ["true"]], "py/object": "os.system", "$ref": "file:///etc/passwd"}
    record = from_bytes(with_document(lambda doc: doc["settings"].update(evil)))
    assert isinstance(record, ChatRecord)
    assert json.loads(json.dumps(record.settings)) == {**SAMPLE.settings, **evil}
