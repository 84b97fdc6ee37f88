"""What the fake's model reads: a chat template as short as it can be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litertlm._engine.seam import ToolSpec
from litertlm.messages import Audio, Image, Message, Part, Text, ToolCall, ToolResult

__all__ = ["ANSWER", "START", "STOP", "default_reply", "media_in", "render", "render_call", "render_tools"]

START = "<bos>"
STOP = "<turn|>"
"""Ends every message, and is the stop token of a reply."""
ANSWER = "<|turn>model\n"
"""After the last message of a prompt: it is the model's turn."""


def default_reply(messages: Iterable[Message]) -> str:
    """What the fake says when nothing is enqueued: a text that depends on the whole conversation.

    Args:
        messages: In their order, the system message and the one to be answered included.

    Two conversations in which the same was said get the same reply, and others practically never do. Tool
    call ids, which a model does not see, make no difference; the bytes of media do.
    """
    digest = hashlib.sha256()
    for message in messages:
        digest.update(render(message).encode("utf-8", "surrogatepass"))
        for part in message.parts:
            if isinstance(part, Image | Audio) and isinstance(part.source, bytes):
                digest.update(hashlib.sha256(part.source).digest())
    return f"This is reply {digest.hexdigest()[:8]}."


def render(message: Message) -> str:
    """A message as the model reads it, media as their placeholders."""
    role = "model" if message.role == "assistant" else message.role
    return f"<|turn>{role}\n{''.join(_part(part) for part in message.parts)}{STOP}"


def render_tools(tools: Sequence[ToolSpec]) -> str:
    """Declarations of tools."""
    return "".join(f"<|tool>{tool.name}{_json(dict(tool.parameters))}<tool|>" for tool in tools)


def render_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A tool call as the model writes it."""
    return f"<|tool_call>{name}{_json(dict(arguments))}<tool_call|>"


def media_in(messages: Iterable[Message]) -> tuple[int, int]:
    """How many images and how many recordings there are."""
    parts = [part for message in messages for part in message.parts]
    return (
        sum(isinstance(part, Image) for part in parts),
        sum(isinstance(part, Audio) for part in parts),
    )


def _part(part: Part) -> str:
    match part:
        case Text(text):
            return text
        case Image():
            return "<|image|>"
        case Audio():
            return "<|audio|>"
        case ToolCall(_, name, arguments):
            return render_call(name, arguments)
        case ToolResult(_, name, result):
            return f"<|tool_response>{name}{_json(result)}<tool_response|>"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
