"""Turns at the seam, where every option of a turn can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from litertlm import Client, Message, Sampler, Text
from litertlm._engine.seam import Conversation, Engine, Preface, Turn, TurnEnd
from litertlm.messages import Part, ToolCall
from litertlm.options import TurnOptions


class Said:
    """What a turn gave: its text, thinking and calls, and how it ended."""

    def __init__(self, turn: Turn) -> None:
        self.text = self.thinking = ""
        self.calls: list[ToolCall] = []
        try:
            turn.start()
            while turn.end is None:
                for delta in turn.take(None):
                    self.text += delta.text
                    self.thinking += delta.thinking
                    self.calls += delta.tool_calls
            self.end: TurnEnd = turn.end
        finally:
            turn.close()
        if self.end.error is not None:
            raise self.end.error


def user(*parts: str | Part) -> Message:
    """A user's message."""
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def say(conversation: Conversation, *parts: str | Part, **options: Any) -> Said:
    """One turn, of few tokens unless it is said otherwise."""
    turn_options = TurnOptions(**{"max_output_tokens": 16, **options})
    return Said(conversation.prepare(user(*parts), turn_options))


@pytest.fixture
def engine(official_client: Client) -> Engine:
    """The bundled model on the official library; ``tests/native`` is about our own engine."""
    return official_client._engine


Open = Callable[..., Conversation]


@pytest.fixture
def opened(engine: Engine) -> Iterator[Open]:
    """Opens conversations, greedy unless it is said otherwise, and closes them afterwards."""
    conversations: list[Conversation] = []

    def make(*messages: Message, **preface: Any) -> Conversation:
        settings = {"sampler": Sampler(temperature=0), **preface}
        conversations.append(engine.open(Preface(messages=messages, **settings)))
        return conversations[-1]

    yield make
    for conversation in conversations:
        conversation.close()
