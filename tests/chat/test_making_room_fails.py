"""What a turn that fails leaves as it was, beyond what was said."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest

from litertlm import Client, EngineError, Message, Tool
from litertlm.options import TurnOptions
from litertlm.testing import FakeEngine, FakeReply


def test_a_turn_that_fails_after_trimming_finds_its_kv_cache_again() -> None:
    """It was put aside, not thrown away: the next turn prefills its own message only."""
    with (
        FakeEngine(context=200) as fake,
        Client(engine=fake) as client,
        client.chat(on_overflow="drop_oldest") as chat,
    ):
        for _ in range(3):
            chat.send("word " * 30)
        conversation, tokens = fake.turns[-1].conversation, chat.token_count
        fake.enqueue_error(EngineError("boom"), "one two", at=1)
        with pytest.raises(EngineError, match="boom"):
            chat.send("word " * 60)
        assert fake.turns[-1].conversation != conversation, "nothing had to be trimmed"
        assert fake.conversations_open == 1
        reply = chat.send("And now?")
        assert fake.turns[-1].conversation == conversation
        assert reply.usage.reused_tokens == tokens
        assert chat.token_count == tokens + reply.usage.total_tokens


def test_the_history_stays_while_the_last_turn_is_made_again() -> None:
    """Until there is another answer, the old one is what was said."""
    seen: list[tuple[Message, ...]] = []

    def look(messages: Sequence[Message], options: TurnOptions) -> FakeReply:
        seen.append(chat.history)
        return FakeReply("another")

    with FakeEngine() as fake, Client(engine=fake) as client, client.chat() as chat:
        fake.enqueue("one")
        chat.send("hello")
        before = chat.history
        fake.enqueue_callable(look)
        chat.regenerate()
        assert seen == [before]
        assert chat.history[-1].text == "another"


def test_a_tool_given_without_a_handler_is_no_difference() -> None:
    """Whoever loads a chat with such a tool makes its calls themselves, as before."""
    ask = Tool("ask", "Ask the user")
    with FakeEngine() as fake, Client(engine=fake) as client, client.chat(tools=[ask]) as chat:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.load_chat(chat.record(), tools=[ask]).close()
        with pytest.warns(UserWarning, match="no handler for ask"):
            client.load_chat(chat.record()).close()
