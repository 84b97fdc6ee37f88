"""Records for the tests, and ways to take chat files apart."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from litertlm import Audio, Image, Message, Text, ToolCall, ToolResult, Usage
from litertlm.chat.portable import ChatRecord, ModelIdentity, ToolRecord, to_bytes

PNG = b"\x89PNG\r\n\x1a\n a picture"
WAV = b"RIFF\x00\x10\x00\x00WAVEfmt " + bytes(4000)
MORNING = datetime(2025, 1, 31, 8, 30, tzinfo=timezone.utc)

SAMPLE = ChatRecord(
    history=(
        Message("system", (Text("Be brief."),)),
        Message("user", (Image(PNG), Text("What is \u2060\U0001f600 this?"))),
        Message(
            "assistant", (Text("Let me look."), ToolCall("call-1", "look", {"deep": True, "at": [1, None]}))
        ),
        Message("tool", (ToolResult("call-1", "look", {"sky": "blue", "degrees": 21.5}),)),
        Message("assistant", (Text("Blue."),)),
        Message("user", (Audio(WAV, 16_000), Image(PNG), Text("And this?"))),
        Message("assistant", ()),
    ),
    turns=(1, 5),
    model=ModelIdentity("gemma4", "gemma.litertlm", "sha256:12ab", "34cd"),
    tools=(ToolRecord("look", "Looks at it", {"type": "object", "properties": {"deep": {}, "at": {}}}),),
    settings={"sampler": {"temperature": 0.5}, "thinking": None, "of the future": [1, 2]},
    usage=Usage(10, 20, 30, 4, 5),
    token_count=64,
    created=MORNING,
    saved=MORNING + timedelta(minutes=5, microseconds=7),
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-(10**18), 10**18) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
mappings = st.dictionaries(texts, values, max_size=4)
counts = st.integers(0, 2**63 - 1)
times = st.datetimes(timezones=st.just(timezone.utc))
media = st.binary(max_size=40) | st.sampled_from([PNG, WAV])
parts = (
    st.builds(Text, texts)
    | st.builds(Image, media)
    | st.builds(Audio, media, st.none() | counts)
    | st.builds(ToolCall, texts, texts, mappings)
    | st.builds(ToolResult, texts, texts, values)
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(parts, max_size=4).map(tuple),
)


@st.composite
def records(draw: st.DrawFn) -> ChatRecord:
    """Any record."""
    history = tuple(draw(st.lists(messages, max_size=5)))
    indices = st.sets(st.integers(0, len(history) - 1)) if history else st.just(set())
    return ChatRecord(
        history=history,
        turns=tuple(sorted(draw(indices))),
        model=draw(st.builds(ModelIdentity, texts, texts, texts, texts)),
        tools=tuple(draw(st.lists(st.builds(ToolRecord, texts, texts, mappings), max_size=3))),
        settings=draw(mappings),
        usage=draw(st.builds(Usage, counts, counts, counts, counts, counts)),
        token_count=draw(counts),
        created=draw(times),
        saved=draw(times),
    )


def members(data: bytes) -> dict[str, bytes]:
    """What is in a chat file, by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def document(record: ChatRecord = SAMPLE) -> Any:
    """The parsed chat.json of a record's file."""
    return json.loads(members(to_bytes(record))["chat.json"])


def zipped(contents: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive with these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_document(change: Callable[[Any], object], record: ChatRecord = SAMPLE) -> bytes:
    """A record's file after ``change`` to its document; what it returns, if anything, replaces it."""
    contents = members(to_bytes(record))
    doc = json.loads(contents["chat.json"])
    changed = change(doc)
    contents["chat.json"] = json.dumps(doc if changed is None else changed).encode()
    return zipped(contents)
