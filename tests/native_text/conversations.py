"""Conversations of every kind, generated."""

from __future__ import annotations

import random
from dataclasses import dataclass

from litertlm._engine.seam import ToolSpec
from litertlm.messages import Message, Part, Text, ToolCall, ToolResult

TEXTS = (
    "Hi",
    "",
    "Wie geht's?\nZweite Zeile  ",
    "é 日本語 😀",
    "  blanks  ",
    "a \"quoted\" 'text' \\ back",
    "{{ not }} {% a %}",
    "tab\there",
    "<b>&amp;</b>",
    "null",
    "one\n\n\nfour\n",
    "…—“”",
)
VALUES = (
    1, -5, 2.5, 1e20, 1e-7, 12345678901234567890, True, False, None, "x y", 'é"q"\n', [], {},
    [1, "a", None, [True]], {"k": "v", "a": {"n": 1, "l": []}}, {"type": "Point", "x": 1}, {"z": 1, "b": 2},
)  # fmt: skip
TOOLS = (
    ToolSpec(
        "f",
        "does it",
        {
            "type": "object",
            "properties": {
                "b": {"type": "integer", "description": "the b"},
                "a": {"type": "string", "enum": ["x", "y"]},
            },
            "required": ["a"],
        },
    ),
    ToolSpec(
        "get_weather",
        'Weather "now" é\nmore',
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City"},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "D"},
                "opt": {"type": "object", "properties": {"q": {"type": "number"}}},
                "m": {"type": "array"},
                "u": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "flag": {"type": "boolean", "default": False},
            },
            "required": ["city"],
        },
    ),
    ToolSpec("empty", "", {"type": "object", "properties": {}}),
    ToolSpec("no_properties", "n", {"type": "object"}),
)


@dataclass(frozen=True)
class Conversation:
    """What was said, what is said next, and what the model is told besides."""

    said: tuple[Message, ...]
    message: Message
    tools: tuple[ToolSpec, ...]
    thinking: bool | None


def conversation(seed: int) -> Conversation:
    """The conversation of a number; the same number gives the same one."""
    chance = random.Random(seed)
    said: list[Message] = []
    if chance.random() < 0.5:
        said.append(Message("system", (Text(chance.choice(TEXTS)),)))
    tools = tuple(chance.sample(TOOLS, chance.randint(1, 4))) if chance.random() < 0.7 else ()
    for _ in range(chance.randint(0, 3)):
        said.append(_user(chance))
        for _ in range(chance.randint(0, 2) if tools else 0):
            said += _calls(chance, tools)
        if said[-1].role != "tool" or chance.random() < 0.9:
            said.append(Message("assistant", (Text(chance.choice(TEXTS)),)))
    message = _user(chance)
    if tools and chance.random() < 0.3:
        called, message = _calls(chance, tools)
        said += [_user(chance), called]
    return Conversation(tuple(said), message, tools, chance.choice([None, True, False]))


def _user(chance: random.Random) -> Message:
    return Message("user", tuple(Text(chance.choice(TEXTS)) for _ in range(chance.randint(1, 2))))


def _calls(chance: random.Random, tools: tuple[ToolSpec, ...]) -> tuple[Message, Message]:
    calls = tuple(
        ToolCall(
            f"call_{number}",
            chance.choice(tools).name,
            {
                name: chance.choice(VALUES)
                for name in chance.sample(["b", "a", "city", "z_1", "Ab"], chance.randint(0, 3))
            },
        )
        for number in range(chance.randint(1, 2))
    )
    before: tuple[Part, ...] = (Text(chance.choice(TEXTS)),) if chance.random() < 0.3 else ()
    results = tuple(ToolResult(call.id, call.name, chance.choice(VALUES)) for call in calls)
    return Message("assistant", before + calls), Message("tool", results)
