"""A conversation as the engine really lays it out: text, media slots, targets and stop tokens.

A dialogue is built turn by turn into segments. A segment is text the model reads, text the model has to
say (with its weight in the loss), or a slot for a picture or a sound. The text follows
`chat_template.jinja`; a test in `check_template` compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

IMAGE, AUDIO = "<|image|>", "<|audio|>"
QUOTE = '<|"|>'
Kind = Literal["read", "say", "image", "audio"]


@dataclass(frozen=True)
class Segment:
    """A stretch of a conversation."""

    kind: Kind
    text: str = ""
    weight: float = 1.0
    media: int = -1


@dataclass(frozen=True)
class Call:
    """A tool call the model should make."""

    name: str
    arguments: dict[str, Any]


def value_text(value: Any) -> str:
    """Write a value the way the template does."""
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, dict):
        return object_text(value)
    if isinstance(value, list):
        return "[" + ",".join(value_text(item) for item in value) + "]"
    return json.dumps(value)


def object_text(value: dict[str, Any]) -> str:
    """Write an object, keys in order."""
    return "{" + ",".join(f"{k}:{value_text(value[k])}" for k in sorted(value)) + "}"


def declaration_text(tool: dict[str, Any]) -> str:
    """Write a tool declaration."""
    function = tool["function"]
    schema = function.get("parameters") or {}
    required = schema.get("required", [])
    fields = []
    for key in sorted(schema.get("properties", {})):
        prop = schema["properties"][key]
        kind = "|".join(prop["enum"]) if "enum" in prop else prop["type"]
        fields.append(f"{key}{'' if key in required else '?'}:{kind}")
    return f"<|tool>{function['name']}{{{','.join(fields)}}}<tool|>"


@dataclass
class Dialogue:
    """Builds the segments of one conversation."""

    rng: Random
    system: str | None = None
    tools: Sequence[dict[str, Any]] = ()
    thinking: bool = False
    joints: bool = True
    """Vary the joints between turns as the engine does; off for comparing with the template."""
    segments: list[Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._read("<bos>")
        if self.system is not None or self.tools or self.thinking:
            text = "<|turn>system\n" + ("<|think|>" if self.thinking else "") + (self.system or "")
            text += "".join(declaration_text(tool) for tool in self.tools)
            self._read(text + "<turn|>\n")

    def user(self, *parts: str | tuple[Literal["image", "audio"], int]) -> None:
        """Add a user message of texts and media slots."""
        self._read("<|turn>user\n")
        for part in parts:
            if isinstance(part, str):
                self._read(part)
            else:
                self.segments.append(Segment(part[0], media=part[1]))
        self._read("<turn|>\n<|turn>model\n")

    def say(self, reply: str, *, thought: str = "", weight: float = 1.0) -> None:
        """Add a reply; `thought` is used when thinking is on."""
        if self.thinking and thought:
            self._say(f"<|channel>thought\n{thought}<channel|>{reply}<turn|>", weight)
        else:
            self._say(f"{reply}<turn|>", weight)
        if not self.joints or self.rng.random() < 0.4:
            self._read("\n")

    def call(self, *calls: Call, thought: str = "", weight: float = 1.5) -> None:
        """Add tool calls; the stop token after them may or may not stay in the cache."""
        text = "".join(f"<|tool_call>call:{c.name}{object_text(c.arguments)}<tool_call|>" for c in calls)
        if self.thinking and thought:
            text = f"<|channel>thought\n{thought}<channel|>{text}"
        self._say(text + "<|tool_response>", weight)
        if not self.joints or self.rng.random() < 0.5:
            self.segments[-1] = Segment("say", text, weight)

    def results(self, *results: tuple[str, Any]) -> None:
        """Add the tools' answers; the model's turn goes on after them."""
        for name, result in results:
            content = result if isinstance(result, dict) else {"value": result}
            self._read(f"<|tool_response>response:{name}{object_text(content)}<tool_response|>")

    def _read(self, text: str) -> None:
        self.segments.append(Segment("read", text))

    def _say(self, text: str, weight: float) -> None:
        self.segments.append(Segment("say", text, weight))

    def text(self) -> str:
        """The whole conversation as the template would print it."""
        slots = {"image": IMAGE, "audio": AUDIO}
        return "".join(slots.get(s.kind, s.text) for s in self.segments)
