"""Messages and tools to the values that a chat template sees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from litertlm._engine.native.text.toolcalls.syntax import ToolCallSyntax
from litertlm._engine.seam import ToolSpec
from litertlm.errors import MessageError
from litertlm.messages import Audio, Image, Message, Part, Text, ToolCall, ToolResult

__all__ = ["message_values", "tool_values"]

MOST_DEPTH = 500
"""How deep values may be nested; no more than the official engine takes."""


def message_values(messages: Sequence[Message], syntax: ToolCallSyntax | None) -> list[dict[str, Any]]:
    """Messages as templates see them, down to the order of keys, which templates can show.

    They are in alphabetical order, save in messages that are rewritten for a syntax.

    Args:
        messages: All that was said.
        syntax: How calls and results are written for templates that take them as text; None: as JSON.

    Raises:
        MessageError: A value cannot be expressed as JSON, or is nested too deep.
    """
    return [_message(message, syntax) for message in messages]


def tool_values(tools: Sequence[ToolSpec], syntax: ToolCallSyntax | None) -> list[Any]:
    """Declared tools as templates see them; otherwise as :func:`message_values`."""
    values = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in tools
    ]
    plain = _json(values, sort_keys=False)
    return [syntax.write_tool(tool["function"]) for tool in plain] if syntax else list(plain)


def _message(message: Message, syntax: ToolCallSyntax | None) -> dict[str, Any]:
    content = [_part(part, syntax) for part in message.parts if not isinstance(part, ToolCall)]
    values: dict[str, Any] = {"role": message.role}
    if content or not message.tool_calls:
        values["content"] = content
    if message.tool_calls:
        values["tool_calls"] = [_call(call, syntax) for call in message.tool_calls]
    rewritten = syntax is not None and (message.tool_calls or message.role == "tool")
    return values if rewritten else _in_order(values)


def _call(call: ToolCall, syntax: ToolCallSyntax | None) -> dict[str, Any]:
    arguments = _json(dict(call.arguments))
    if syntax is None:
        return {"function": {"arguments": arguments, "name": call.name}, "type": "function"}
    function: dict[str, Any] = {"name": call.name}
    if arguments:
        function["arguments"] = {name: syntax.write_value(value) for name, value in arguments.items()}
    return {"type": "function", "function": function}


def _part(part: Part, syntax: ToolCallSyntax | None) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text, "type": "text"}
        case Image():
            return {"type": "image"}
        case Audio():
            return {"type": "audio"}
        case ToolResult(_, name, result):
            response = _json(result)
            if syntax is None:
                return {"name": name, "response": response, "type": "tool_response"}
            return {"type": "text", "text": syntax.write_result(name, response)}
        case _:
            raise TypeError(f"not a message part: {part!r}")


def _in_order(values: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(values.items()))


def _json(value: Any, *, sort_keys: bool = True) -> Any:
    """A value made of what JSON knows and of nothing else."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False, sort_keys=sort_keys, default=_plain))
    except RecursionError:
        raise MessageError(f"The value is nested deeper than {MOST_DEPTH} levels") from None
    except (TypeError, ValueError) as error:
        raise MessageError(f"The value cannot be expressed as JSON: {error}") from None
    _require_depth(plain)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _require_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [item for each in inner for item in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return
    raise MessageError(f"The value is nested deeper than {MOST_DEPTH} levels")
