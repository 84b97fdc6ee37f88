"""Conversation values to the engine's JSON, and back.

The engine takes messages of the form ``{"role": ..., "content": [{"type": "text", "text": ...}, ...]}``,
media as base64 in ``blob``, and tool results as ``tool_response`` items; it streams partial assistant
messages.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from litertlm._engine.seam import Delta, ToolSpec
from litertlm.errors import MessageError
from litertlm.messages import Audio, Image, Message, Part, Text, ToolCall, ToolResult

__all__ = ["deltas_from", "dump", "message_to_wire", "tools_to_wire"]

# The engine's JSON parser overflows the stack at about 100,000 levels.
MAX_DEPTH = 500


def dump(value: Any) -> str:
    """Compact JSON.

    Raises:
        MessageError: The value holds something JSON cannot express, or is nested too deep.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise MessageError(f"The value is nested deeper than {MAX_DEPTH} levels") from None
    except (TypeError, ValueError) as error:
        raise MessageError(f"The value cannot be expressed as JSON: {error}") from None
    if _depth(text) > MAX_DEPTH:
        raise MessageError(f"The value is nested deeper than {MAX_DEPTH} levels")
    return text


def _depth(text: str) -> int:
    """An upper bound of how deep ``text`` is nested; brackets inside strings count too."""
    opening = text.count("[") + text.count("{")
    if opening <= MAX_DEPTH:
        return opening
    deepest = depth = 0
    inside = escaped = False
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def message_to_wire(message: Message, *, with_media: bool = True) -> dict[str, Any]:
    """The engine's form of a message whose media are already encoded.

    Args:
        message: The message.
        with_media: False leaves the media's bytes out, for rendering.
    """
    wire: dict[str, Any] = {"role": message.role}
    content = [_part_to_wire(part, with_media) for part in message.parts if not isinstance(part, ToolCall)]
    if content or not message.tool_calls:
        wire["content"] = content
    if message.tool_calls:
        wire["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    return wire


def _part_to_wire(part: Part, with_media: bool) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(source):
            return {"type": "image", "blob": _base64(source) if with_media else ""}
        case Audio(source):
            return {"type": "audio", "blob": _base64(source) if with_media else ""}
        case ToolResult(_, name, result):
            return {"type": "tool_response", "name": name, "response": result}
        case _:
            raise TypeError(f"not a message part: {part!r}")


def _base64(source: object) -> str:
    if not isinstance(source, bytes):
        raise TypeError("media must be encoded before they reach the engine")
    return base64.b64encode(source).decode("ascii")


def tools_to_wire(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The engine's form of tool declarations."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in tools
    ]


def deltas_from(chunks: Iterable[dict[str, Any]], new_call_id: Callable[[], str]) -> list[Delta]:
    """What the engine's partial assistant messages say.

    Args:
        chunks: Decoded JSON, as streamed.
        new_call_id: Names a tool call; the engine gives none.
    """
    deltas: list[Delta] = []
    for chunk in chunks:
        content = chunk.get("content", ())
        if isinstance(content, str):
            text = content
        else:
            text = "".join(item.get("text", "") for item in content if item.get("type") == "text")
        thinking = "".join(chunk.get("channels", {}).values())
        calls = tuple(
            ToolCall(new_call_id(), call["function"]["name"], call["function"].get("arguments") or {})
            for call in chunk.get("tool_calls", ())
        )
        if text or thinking or calls:
            deltas.append(Delta(text, thinking, calls))
    return deltas
