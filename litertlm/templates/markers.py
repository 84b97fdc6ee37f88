"""User text is text: control markers in it must not reach the model as control tokens.

The engine renders the whole conversation into one string and tokenizes that, so ``<|turn>`` typed by a user
would become the real token, and could forge a turn, a tool call or a media slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from litertlm.errors import MessageError
from litertlm.messages import Message, Part, Text, ToolCall, ToolResult

__all__ = ["Markers"]

# Invisible, and not part of any marker: it splits one without changing what is seen.
WORD_JOINER = "\u2060"

# What the engine's own prompt code looks for, whatever the tokenizer says: the slots that media are put in,
# and the quote marks of tool calls.
ENGINE_MARKERS = (
    "<start_of_image>",
    "<image_soft_token>",
    "<end_of_image>",
    "<start_of_audio>",
    "<audio_soft_token>",
    "<end_of_audio>",
    "<|image|>",
    "<|audio|>",
    "<|video|>",
    "<escape>",
    '<|"|>',
)


class Markers:
    """The control markers of one model.

    Args:
        special_tokens: Strings that its tokenizer turns into control tokens.

    Threads: any.
    """

    def __init__(self, special_tokens: Iterable[str]) -> None:
        known = {token for token in (*special_tokens, *ENGINE_MARKERS) if len(token) > 1}
        longest_first = sorted(known, key=lambda token: (-len(token), token))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def neutralise(self, text: str) -> str:
        """``text`` with every marker split by an invisible character; it looks the same and means text."""
        # Splitting one marker can not make another: the joiner is in none.
        return self._pattern.sub(lambda found: found[0][0] + WORD_JOINER + found[0][1:], text)

    def neutralise_message(self, message: Message) -> Message:
        """A message whose text, tool names and tool results are neutralised.

        Raises:
            MessageError: A tool result is nested deeper than any engine could read.
        """
        try:
            return Message(message.role, tuple(self._part(part) for part in message.parts))
        except RecursionError:
            raise MessageError("A tool result is nested too deep") from None

    def _part(self, part: Part) -> Part:
        match part:
            case Text(text):
                return Text(self.neutralise(text))
            case ToolCall(id, name, arguments, error):
                return ToolCall(id, self.neutralise(name), self._value(arguments), error)
            case ToolResult(call_id, name, result):
                return ToolResult(call_id, self.neutralise(name), self._value(result))
            case _:
                return part

    def _value(self, value: Any) -> Any:
        """The same for every string in a JSON value."""
        if isinstance(value, str):
            return self.neutralise(value)
        if isinstance(value, dict):
            return {self._value(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        return value
