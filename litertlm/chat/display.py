"""Chats as notebooks show them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable

from litertlm.messages import Audio, Image, Message, Part, Text, ToolCall, ToolResult

__all__ = ["markdown_of"]

THUMBNAIL = 160
"""Longest side of a picture, in pixels."""


def markdown_of(history: Iterable[Message]) -> str:
    """A conversation as Markdown, pictures as small data URLs."""
    return "\n\n".join(f"**{message.role}** {_said(message)}" for message in history)


def _said(message: Message) -> str:
    return "\n\n".join(_part(part) for part in message.parts)


def _part(part: Part) -> str:
    match part:
        case Text(text):
            return text
        case Image(bytes() as data):
            return f"![image]({_thumbnail(data)})"
        case Image():
            return "*image*"
        case Audio():
            return "*audio*"
        case ToolCall(_, name, arguments):
            return f"`{name}({json.dumps(dict(arguments), ensure_ascii=False)})`"
        case ToolResult(_, name, result):
            return f"`{name} = {json.dumps(result, ensure_ascii=False)}`"


def _thumbnail(data: bytes) -> str:
    import PIL.Image

    with PIL.Image.open(io.BytesIO(data)) as picture:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        small = io.BytesIO()
        picture.convert("RGB").save(small, "PNG")
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode("ascii")
