"""From a chat to a record of it, and back. Imported when a chat is saved, loaded, copied or pickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from litertlm._engine.model import ModelFacts
from litertlm.chat.portable import ChatRecord, ModelIdentity, ToolRecord
from litertlm.chat.settings import SendOptions, Settings
from litertlm.chat.timeline import State, Timeline
from litertlm.messages import Message
from litertlm.options import JsonSchema, Lark, Regex, ResponseFormat, Sampler, TurnOptions
from litertlm.tools import Tool, Toolset

if TYPE_CHECKING:
    from litertlm._engine.seam import Conversation, Preface

__all__ = ["declared_tools", "identity", "options_of", "record_of", "states_of", "token_count_of"]

# What is not a setting that can be written down: functions and objects of the program.
_PROGRAM = frozenset({"approve", "signal", "on_event", "decoding", "output"})


def identity(model: ModelFacts) -> ModelIdentity:
    """What tells a model from others."""
    return ModelIdentity(
        model_type=model.model_type,
        file_name=Path(model.path).name,
        digest=model.digest,
        template_hash=_hash(model.chat_template) if model.chat_template else "",
    )


def record_of(timeline: Timeline, settings: Settings, model: ModelFacts, *, created: datetime) -> ChatRecord:
    """A chat as it is between two turns."""
    state, preface = timeline.state, timeline.preface
    positions = {id(message): index for index, message in enumerate(state.history)}
    turns: list[int] = []
    step: State | None = state
    while step is not None:
        if step.message is not None and id(step.message) in positions:
            turns.append(positions[id(step.message)])
        step = step.before
    template = {} if preface.chat_template is None else {"chat_template": preface.chat_template}
    return ChatRecord(
        history=state.history,
        turns=tuple(reversed(turns)),
        model=identity(model),
        tools=tuple(ToolRecord(tool.name, tool.description, tool.parameters) for tool in preface.tools),
        settings={**_settings_json(settings), **template},
        usage=state.usage,
        token_count=timeline.token_count,
        created=created,
    )


def options_of(settings: Mapping[str, Any]) -> SendOptions:
    """The options in a record's settings; names that mean nothing here are passed over."""
    said: dict[str, Any] = {
        name: value for name, value in settings.items() if name in SendOptions.__annotations__
    }
    shape = said.get("response_format")
    if isinstance(shape, Mapping):
        said["response_format"] = _format_of(shape)
    biases = said.get("logit_bias")
    if isinstance(biases, Mapping):
        # The keys of an object are texts; what is no id is refused like one that a caller passes.
        said["logit_bias"] = {_token_of(key): bias for key, bias in biases.items()}
    return cast("SendOptions", said)


def declared_tools(record: ChatRecord, given: Toolset) -> Toolset:
    """The given tools, and those of the record that are missing among them, without handlers."""
    missing = [Tool(tool.name, tool.description, tool.parameters) for tool in record.tools]
    return Toolset([*given, *(tool for tool in missing if tool.name not in given)])


def token_count_of(record: ChatRecord, model: ModelFacts, preface: Preface) -> int:
    """Tokens of a record's chat, if they are the same where it goes on; else 0."""
    if replace(identity(model), file_name=record.model.file_name) != record.model:
        return 0
    declared = {tool.name: (tool.description, tool.parameters) for tool in preface.tools}
    recorded = {tool.name: (tool.description, tool.parameters) for tool in record.tools}
    thinking = record.settings.get("thinking")
    return record.token_count if (declared, preface.thinking) == (recorded, thinking) else 0


def states_of(record: ChatRecord, now: Conversation, token_count: int) -> State:
    """The latest state of a record's chat, with the states before it.

    Args:
        record: The chat.
        now: Is in the latest state.
        token_count: Of the latest state; those of earlier ones are not written down.
    """
    state: State | None = None
    message: Message | None = None
    for end in (*record.turns, len(record.history)):
        state = State(record.history[:end], record.usage, state, message, None, None)
        message = record.history[end] if end < len(record.history) else None
    assert state is not None
    return replace(state, where=now, at=now.mark(), token_count=token_count)


def _settings_json(settings: Settings) -> dict[str, Any]:
    """Everything that was said, as JSON values."""
    default, found = Settings(), {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name not in _PROGRAM and value != getattr(default, field.name):
            found[field.name] = value
    for field in fields(TurnOptions):
        value = getattr(settings.decoding, field.name)
        if value != getattr(default.decoding, field.name):
            found[field.name] = _json(value)
    if settings.decoding.logit_bias:
        found["logit_bias"] = {str(token): bias for token, bias in settings.decoding.logit_bias}
    if settings.output is not None:
        found["response_format"] = _format_json(settings.output.grammar)
    return found


def _format_json(form: ResponseFormat) -> dict[str, Any]:
    match form:
        case Regex(pattern):
            return {"regex": pattern}
        case Lark(grammar):
            return {"lark": grammar}
        case JsonSchema(schema):
            return {"schema": dict(schema)}


def _format_of(said: Mapping[str, Any]) -> ResponseFormat:
    if "regex" in said:
        return Regex(said["regex"])
    return Lark(said["lark"]) if "lark" in said else JsonSchema(said["schema"])


def _token_of(key: str) -> int | str:
    return int(key) if key.isascii() and key.isdigit() and len(key) <= 10 else key


def _json(value: Any) -> Any:
    if isinstance(value, Sampler):
        return {name: said for name, said in asdict(value).items() if said is not None}
    return list(value) if isinstance(value, tuple) else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
