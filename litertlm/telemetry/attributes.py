"""Values of litertlm as attributes of the semantic conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from litertlm.messages import Audio, Hop, Image, Message, Part, Text, ToolCall, ToolResult, Usage
from litertlm.options import JsonSchema, ResponseFormat, TurnOptions

__all__ = [
    "error_attributes",
    "finish_reason",
    "input_content",
    "output_content",
    "request_attributes",
    "to_json",
    "usage_attributes",
]

Attributes = Mapping[str, Any]


def request_attributes(options: TurnOptions) -> Attributes:
    """What was asked for; what was left to the model is left out."""
    sampler = options.sampler
    asked = {
        "gen_ai.request.max_tokens": options.max_output_tokens,
        "gen_ai.request.temperature": sampler.temperature,
        "gen_ai.request.top_k": sampler.top_k,
        "gen_ai.request.top_p": sampler.top_p,
        "gen_ai.request.seed": sampler.seed,
        "gen_ai.request.frequency_penalty": options.frequency_penalty,
        "gen_ai.request.presence_penalty": options.presence_penalty,
        "gen_ai.request.stop_sequences": options.stop or None,
        "gen_ai.output.type": _output_type(options.response_format),
    }
    return {name: value for name, value in asked.items() if value is not None}


def usage_attributes(usage: Usage) -> Attributes:
    """Tokens; the conventions count what was in the cache among the input."""
    counts = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens + usage.reused_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.reused_tokens,
    }
    if usage.image_tokens:
        counts["gen_ai.usage.image.input_tokens"] = usage.image_tokens
    if usage.audio_tokens:
        counts["gen_ai.usage.audio.input_tokens"] = usage.audio_tokens
    return counts


def finish_reason(reason: str) -> str:
    """Why a generation ended, in the conventions' words."""
    return "tool_call" if reason == "tool_calls" else reason


def error_attributes(error: BaseException) -> Attributes:
    """The class of an error."""
    kind = type(error)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return {"error.type": prefix + kind.__qualname__}


def input_content(messages: Iterable[Message]) -> Attributes:
    """What the model was told."""
    told = tuple(messages)
    system = told[0] if told and told[0].role == "system" else None
    rest = told[1:] if system else told
    content = {"gen_ai.input.messages": to_json([_message(message) for message in rest])}
    if system:
        content["gen_ai.system_instructions"] = to_json([_part(part) for part in system.parts])
    return content


def output_content(hop: Hop) -> Attributes:
    """What the model said."""
    parts = [{"type": "reasoning", "content": hop.thinking}] if hop.thinking else []
    parts += [{"type": "text", "content": hop.text}] if hop.text else []
    parts += [_part(call) for call in hop.tool_calls]
    said = {"role": "assistant", "parts": parts, "finish_reason": finish_reason(hop.finish_reason)}
    return {"gen_ai.output.messages": to_json([said])}


def to_json(value: Any) -> str:
    """A value as an attribute, which cannot be nested."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "content": text}
        case ToolCall(identity, name, arguments):
            return {"type": "tool_call", "id": identity, "name": name, "arguments": dict(arguments)}
        case ToolResult(identity, _, result):
            return {"type": "tool_call_response", "id": identity, "response": result}
        case Image() | Audio():
            return {"type": type(part).__name__.lower()}


def _output_type(form: ResponseFormat | None) -> str | None:
    """By the name that the conventions have for it."""
    if form is None:
        return None
    return "json" if isinstance(form, JsonSchema) else "text"
