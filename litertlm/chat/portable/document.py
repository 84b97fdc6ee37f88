"""A record as the JSON document of a chat file, and back.

The document's own keys are sorted. Mappings that are the user's or the model's (settings, parameters,
arguments, results) keep their order: a template may show it to the model.

What a part looks like is in one table, ``_KINDS``; a new kind of part is a new row and a new ``MINOR``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any, cast, get_args

from litertlm.chat.portable.checks import MOST_COUNT, MOST_DIGITS, Node, check_json, check_text, join
from litertlm.chat.portable.record import ChatRecord, ModelIdentity, ToolRecord
from litertlm.errors import ChatFileError
from litertlm.messages import Audio, Image, Message, Part, Role, Text, ToolCall, ToolResult, Usage

__all__ = ["FORMAT", "MINOR", "Fetch", "Keep", "check_amount", "document_of", "parse_document", "record_of"]

FORMAT = 1
"""Readers refuse a file of another one."""

MINOR = 0
"""Raised when something is added. Readers pass over keys that they do not know, and refuse kinds of parts."""

MOST_VALUES = 2_000_000
"""Values in a document: texts, numbers, lists, objects."""

Keep = Callable[[bytes], dict[str, Any]]
"""Puts the bytes of a medium away and gives the fields by which it is found again."""

Fetch = Callable[[str, int, str], bytes]
"""The bytes of a medium, by its hash, size and the place that refers to it."""

_NO_MARKS = bytes(set(range(256)) - set(b'[{,"'))
_ROLES = get_args(Role)
_LONGEST_WRITER = 200


def document_of(record: ChatRecord, keep: Keep, writer: str) -> dict[str, Any]:
    """The document of a record.

    Args:
        record: What to write.
        keep: Called for every medium, in the order in which they stand.
        writer: The program that writes, and its version.

    Raises:
        ChatFileError: Something in the record cannot be stored.
    """
    return {
        "created": _time(record.created, "created"),
        "format": FORMAT,
        "history": [_message(message, f"history[{i}]", keep) for i, message in enumerate(record.history)],
        "minor": MINOR,
        "model": _texts(record.model, "model"),
        "saved": _time(record.saved, "saved"),
        "settings": _mapping(record.settings, "settings"),
        "token_count": _count(record.token_count, "token_count"),
        "tools": [_tool(tool, f"tools[{i}]") for i, tool in enumerate(record.tools)],
        "turns": _turns(
            [_count(turn, f"turns[{i}]") for i, turn in enumerate(record.turns)], len(record.history)
        ),
        "usage": {name: _count(getattr(record.usage, name), join("usage", name)) for name in sorted(_USAGE)},
        "written_by": check_text(writer, "written_by"),
    }


def check_amount(data: bytes) -> None:
    """Raises ChatFileError if a JSON text has more values than fit into a moderate amount of memory.

    An empty list takes three bytes as text, and thirty times as many as an object.
    """
    if sum(map(data.count, (b"[", b"{", b","))) <= MOST_VALUES:
        return
    # Without the texts, in which brackets and commas are harmless.
    marks = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS)
    if len(re.sub(rb'"[^"]*"', b"", marks)) > MOST_VALUES:
        raise ChatFileError(f"holds more than {MOST_VALUES:,} values", place="chat.json")


def parse_document(data: bytes) -> object:
    """The JSON value that ``data`` is.

    Raises:
        ChatFileError: It is none, or one that programs understand differently (a key that comes twice, NaN).
    """
    place = "chat.json"
    check_amount(data)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_short_integer,
        )
    except RecursionError:
        raise ChatFileError("is nested too deeply", place=place) from None
    except ValueError as error:  # JSON's and UTF-8's errors are among them
        raise ChatFileError(f"is not valid JSON in UTF-8: {error}", place=place) from None


def record_of(document: object, fetch: Fetch) -> ChatRecord:
    """The record that a parsed document describes.

    Args:
        document: From :func:`parse_document`.
        fetch: Called for every medium, in the order in which they stand.

    Raises:
        ChatFileError: The document is of another format, or something in it is not what it should be.
    """
    notes: list[str] = []
    top = Node(document, "", notes)
    if not isinstance(document, dict) or "format" not in document:
        raise ChatFileError("is not the document of a chat: it has no format", place="chat.json")
    writer = _writer(document)
    major = top.fields(["format"], list(document))["format"].count()
    if major != FORMAT:
        newer = major > FORMAT
        raise ChatFileError(
            f"is {major}; this version reads format {FORMAT} (the file was written by {writer})",
            place="format",
            hint="Open it with a newer litertlm." if newer else "",
        )
    at = top.fields(_TOP)
    minor = at["minor"].count()
    at["written_by"].text()
    reader = _PartReader(fetch, minor, writer)
    history = tuple(_read_message(node, reader) for node in at["history"].items())
    turns = [node.count() for node in at["turns"].items()]
    model = at["model"].fields(_MODEL)
    return ChatRecord(
        history=history,
        turns=tuple(_turns(turns, len(history))),
        model=ModelIdentity(**{name: node.text() for name, node in model.items()}),
        tools=tuple(_read_tool(node) for node in at["tools"].items()),
        settings=at["settings"].mapping(),
        usage=Usage(**{name: node.count() for name, node in at["usage"].fields([], _USAGE).items()}),
        token_count=at["token_count"].count(),
        created=at["created"].time(),
        saved=at["saved"].time(),
        written_by=f"{writer}, format {major}.{minor}",
        notes=tuple(notes),
    )


_TOP = (
    "created", "format", "history", "minor", "model", "saved", "settings", "token_count", "tools", "turns",
    "usage", "written_by",
)  # fmt: skip
_MODEL = tuple(field.name for field in fields(ModelIdentity))
_USAGE = tuple(field.name for field in fields(Usage))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {json.dumps(twice[:100])} comes twice in an object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _short_integer(digits: str) -> int:
    # Reading a number takes time quadratic in its length.
    if len(digits) > MOST_DIGITS + 1:
        raise ValueError(f"a whole number of more than {MOST_DIGITS:,} digits")
    return int(digits)


def _writer(document: dict[str, Any]) -> str:
    said = document.get("written_by")
    usable = isinstance(said, str) and said.isprintable() and 0 < len(said) <= _LONGEST_WRITER
    return cast(str, said) if usable else "an unknown program"


def _time(moment: object, place: str) -> str:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ChatFileError("is not a datetime with a time zone", place=place)
    try:
        return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        raise ChatFileError("is out of range", place=place) from None


def _count(value: object, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNT:
        raise ChatFileError(f"is not a whole number, 0 or more: {value!r:.100}", place=place)
    return int(value)


def _texts(value: ModelIdentity, place: str) -> dict[str, str]:
    return {name: check_text(getattr(value, name), join(place, name)) for name in sorted(_MODEL)}


def _turns(turns: list[int], messages: int) -> list[int]:
    before = -1
    for i, turn in enumerate(turns):
        if not before < turn < messages:
            raise ChatFileError(
                f"is not the index of a message after the turn before it: {turn} of {messages}",
                place=f"turns[{i}]",
            )
        before = turn
    return turns


def _tool(tool: ToolRecord, place: str) -> dict[str, Any]:
    return {
        "description": check_text(tool.description, join(place, "description")),
        "name": check_text(tool.name, join(place, "name")),
        "parameters": _mapping(tool.parameters, join(place, "parameters")),
    }


def _read_tool(node: Node) -> ToolRecord:
    at = node.fields(["description", "name", "parameters"])
    return ToolRecord(at["name"].text(), at["description"].text(), at["parameters"].mapping())


def _message(message: Message, place: str, keep: Keep) -> dict[str, Any]:
    if message.role not in _ROLES:
        raise ChatFileError(f"is not a role: {message.role!r:.100}", place=join(place, "role"))
    parts = [_part(part, f"{place}.parts[{i}]", keep) for i, part in enumerate(message.parts)]
    return {"parts": parts, "role": message.role}


def _read_message(node: Node, reader: _PartReader) -> Message:
    at = node.fields(["parts", "role"])
    role = at["role"].matching("|".join(_ROLES), "a role")
    return Message(cast(Role, role), tuple(reader.read(part) for part in at["parts"].items()))


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ChatFileError(f"is not a mapping, but a {type(value).__name__}", place=place)
    check_json(value, place)
    return value


def _json(value: object, place: str) -> object:
    check_json(value, place)
    return value


# -- the kinds of parts --------------------------------------------------------------------------------------


def _part(part: Part, place: str, keep: Keep) -> dict[str, Any]:
    for name, kind in _KINDS.items():
        if isinstance(part, kind.type):
            return dict(sorted({"kind": name, **kind.write(part, place, keep)}.items()))
    raise ChatFileError(f"is not a part of a message, but a {type(part).__name__}", place=place)


@dataclass(frozen=True, slots=True)
class _PartReader:
    """Reads parts of one document."""

    fetch: Fetch
    minor: int
    writer: str

    def read(self, node: Node) -> Part:
        """The part that an object is."""
        value = node.value
        # Which fields there are depends on the kind.
        at = node.fields(["kind"], list(value) if isinstance(value, dict) else ())
        name = at["kind"].text()
        kind = _KINDS.get(name)
        if kind is not None:
            return kind.read(node.fields(["kind", *kind.needed], kind.optional), self.fetch)
        problem = f"is not a kind of part: {name!r:.100}"
        if self.minor <= MINOR:
            raise at["kind"].refuse(problem)
        raise at["kind"].refuse(
            f"{problem}; the file was written by {self.writer} in format {FORMAT}.{self.minor}, and this "
            f"version reads {FORMAT}.{MINOR}",
            "Open it with a newer litertlm.",
        )


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of part is written and read."""

    type: type[Any]
    needed: tuple[str, ...]
    write: Callable[[Any, str, Keep], dict[str, Any]]
    read: Callable[[dict[str, Node], Fetch], Part]
    optional: tuple[str, ...] = ()


def _medium(source: object, place: str, keep: Keep) -> dict[str, Any]:
    if not isinstance(source, bytes):
        raise ChatFileError(
            f"holds no encoded bytes, but a {type(source).__name__}",
            place=place,
            hint="Take messages from chat.history, where media are encoded.",
        )
    try:
        return keep(source)
    except ChatFileError as error:
        raise ChatFileError(error.problem, place=place, hint=error.hint) from None


def _write_audio(part: Audio, place: str, keep: Keep) -> dict[str, Any]:
    found = _medium(part.source, place, keep)
    if part.sample_rate is not None:
        found["sample_rate"] = _count(part.sample_rate, join(place, "sample_rate"))
    return found


def _read_medium(at: dict[str, Node], fetch: Fetch) -> bytes:
    digest = at["sha256"].matching("[0-9a-f]{64}", "a SHA-256 in lower-case hexadecimal")
    return fetch(digest, at["size"].count(), at["sha256"].place.removesuffix(".sha256"))


_KINDS = {
    "text": _Kind(
        Text,
        ("text",),
        lambda part, place, keep: {"text": check_text(part.text, join(place, "text"))},
        lambda at, fetch: Text(at["text"].text()),
    ),
    "image": _Kind(
        Image,
        ("sha256", "size"),
        lambda part, place, keep: _medium(part.source, place, keep),
        lambda at, fetch: Image(_read_medium(at, fetch)),
    ),
    "audio": _Kind(
        Audio,
        ("sha256", "size"),
        _write_audio,
        lambda at, fetch: Audio(
            _read_medium(at, fetch), at["sample_rate"].count() if "sample_rate" in at else None
        ),
        optional=("sample_rate",),
    ),
    "tool_call": _Kind(
        ToolCall,
        ("id", "name", "arguments"),
        lambda part, place, keep: {
            "id": check_text(part.id, join(place, "id")),
            "name": check_text(part.name, join(place, "name")),
            "arguments": _mapping(part.arguments, join(place, "arguments")),
            **({} if part.error is None else {"error": check_text(part.error, join(place, "error"))}),
        },
        lambda at, fetch: ToolCall(
            at["id"].text(),
            at["name"].text(),
            at["arguments"].mapping(),
            at["error"].text() if "error" in at else None,
        ),
        optional=("error",),
    ),
    "tool_result": _Kind(
        ToolResult,
        ("call_id", "name", "result"),
        lambda part, place, keep: {
            "call_id": check_text(part.call_id, join(place, "call_id")),
            "name": check_text(part.name, join(place, "name")),
            "result": _json(part.result, join(place, "result")),
        },
        lambda at, fetch: ToolResult(at["call_id"].text(), at["name"].text(), at["result"].json()),
    ),
}
