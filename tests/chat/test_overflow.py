"""What a chat does when a message does not fit any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from litertlm import (
    Cancelled,
    CancelToken,
    Client,
    ContextOverflow,
    DeadlineExceeded,
    Message,
    OptionError,
    Overflow,
    Text,
    ToolCall,
    ToolResult,
    events,
)
from litertlm.testing import FakeEngine, FakeReply

from .tools import Diary, raw

LONG = "word " * 20
MOST = "most " * 65


@pytest.fixture
def small() -> Iterator[FakeEngine]:
    """Two hundred tokens of context."""
    engine = FakeEngine(context=200, default=lambda messages, options: "Yes.", patience=10)
    with engine:
        yield engine


@pytest.fixture
def desk(small: FakeEngine) -> Iterator[Client]:
    """A client of it."""
    with Client(engine=small) as opened:
        yield opened


def send_until_full(chat: Any) -> None:
    """The next message of this kind does not fit."""
    while chat.token_count + chat.count(LONG) < chat.context.limit:
        chat.send(LONG)


def test_error(small: FakeEngine, desk: Client) -> None:
    """The numbers say why, and the engine is not asked."""
    with desk.chat("Be brief.") as chat:
        send_until_full(chat)
        before, turns = chat.history, len(small.turns)
        with pytest.raises(ContextOverflow) as caught:
            chat.send(LONG)
        error = caught.value
        assert (error.used, error.needed, error.limit) == (chat.token_count, chat.count(LONG), 200)
        assert error.used + error.needed >= error.limit
        assert (chat.history, len(small.turns)) == (before, turns)
        chat.send("Hi.")


def test_drop_oldest(small: FakeEngine, desk: Client) -> None:
    """Whole turns go, several at once; the system message stays, and the event says what went."""
    told: list[events.Event] = []
    with desk.chat("Be brief.", on_overflow="drop_oldest", on_event=told.append) as chat:
        send_until_full(chat)
        before = chat.history
        chat.send(LONG)
        (trimmed,) = [event for event in told if isinstance(event, events.ContextTrimmed)]
        assert trimmed.limit == 200
        assert trimmed.dropped == before[1 : 1 + len(trimmed.dropped)]
        assert chat.history[:-2] == (before[0], *before[1 + len(trimmed.dropped) :])
        assert small.turns[-1].messages == chat.history[:-1]
        assert chat.token_count <= 100 + 20
        names = [type(event).__name__ for event in told]
        assert names[names.index("ContextTrimmed") - 1 :][:3] == [
            "TurnStarted",
            "ContextTrimmed",
            "HopStarted",
        ]


def test_drop_oldest_when_even_that_is_not_enough(small: FakeEngine, desk: Client) -> None:
    """The error, and nothing is dropped."""
    with desk.chat(on_overflow="drop_oldest") as chat:
        chat.send(LONG)
        before = chat.history, chat.token_count
        with pytest.raises(ContextOverflow):
            chat.send("word " * 300)
        assert (chat.history, chat.token_count) == before


@pytest.mark.parametrize("policy", ["drop_oldest", "summarize"])
def test_a_tool_result_makes_room_for_itself(small: FakeEngine, desk: Client, policy: Any) -> None:
    """In the middle of a turn: earlier turns go, the call and its results stay together."""
    diary = Diary()
    with desk.chat("Be brief.", tools=[diary.tool()], on_overflow=policy) as chat:
        chat.send(MOST)
        small.enqueue_tool_calls([("note", {"city": "word " * 30})])
        if policy == "summarize":
            small.enqueue("They said word.")
        small.enqueue("Done.")
        reply = chat.send("Note it.")
        assert (reply.text, len(reply.hops), len(diary.called)) == ("Done.", 2, 1)
        roles = [message.role for message in small.turns[-1].messages]
        assert roles[-3:] == ["user", "assistant", "tool"]
        assert MOST not in [message.text for message in chat.history]
        assert small.turns[-1].messages == chat.history[:-1]
        if policy == "summarize":
            assert [message.text for message in chat.history[1:3]][1] == "They said word."
            # The turn that goes on is no part of what is summed up.
            asked = next(turn for turn in small.turns if turn.reply == "They said word.")
            assert [message.role for message in asked.messages] == ["system", "user", "assistant", "user"]
        chat.undo()
        assert [message.role for message in chat.history] == ["system", "user", "assistant"]


def test_results_by_hand_make_room_too(small: FakeEngine, desk: Client) -> None:
    """The turn that they belong to is the latest one."""
    with desk.chat(tools=[raw()], on_overflow="drop_oldest") as chat:
        chat.send(MOST)
        small.enqueue_tool_calls([("look_up", {"city": "Rome"})])
        (call,) = chat.send(LONG).tool_calls
        chat.send_tool_result(ToolResult(call.id, call.name, "word " * 50))
        assert [message.role for message in chat.history] == ["user", "assistant", "tool", "assistant"]


def test_a_tool_result_that_can_not_fit(small: FakeEngine, desk: Client) -> None:
    """The whole turn is undone; a cap on results helps."""
    huge = {"city": "word " * 70}
    with desk.chat(tools=[Diary().tool()], on_overflow="drop_oldest") as chat:
        chat.send("Hi.")
        before = chat.history, chat.usage, chat.token_count
        small.enqueue_tool_calls([("note", huge)])
        with pytest.raises(ContextOverflow):
            chat.send("Note it.")
        assert (chat.history, chat.usage, chat.token_count) == before
        small.enqueue_tool_calls([("note", huge)])
        assert chat.send("Note it.", max_tool_result_tokens=30).text == "Yes."


def test_summarize(small: FakeEngine, desk: Client) -> None:
    """The model sums up what goes; the summary stands where it was, and is bounded."""
    with desk.chat("Be brief.", on_overflow="summarize") as chat:
        send_until_full(chat)
        small.enqueue("They said word.")
        small.enqueue("Fine.")
        reply = chat.send(LONG)
        assert reply.text == "Fine."
        roles = [message.role for message in chat.history]
        assert roles[:3] == ["system", "user", "assistant"]
        assert chat.history[2].text == "They said word."
        asked = small.turns[-2]
        assert asked.options.max_output_tokens == 40
        assert asked.messages[-1].text.startswith("Summarise")
        assert small.conversations_open == 1
        assert chat.usage.total_tokens > 0


def test_a_summary_that_is_asked_for_in_vain(small: FakeEngine, desk: Client) -> None:
    """A message that never fits is refused before, with the numbers of the chat."""
    with desk.chat(on_overflow="summarize") as chat:
        chat.send(LONG)
        turns = len(small.turns)
        with pytest.raises(ContextOverflow) as caught:
            chat.send("word " * 300)
        assert (caught.value.limit, len(small.turns)) == (200, turns)


def test_a_summary_that_is_empty_or_fails(small: FakeEngine, desk: Client) -> None:
    """Empty: as if the oldest had been dropped. Cancelled or too slow: as if nothing had been sent."""
    signal = CancelToken()
    with desk.chat(on_overflow="summarize") as chat:
        send_until_full(chat)
        before = chat.history, chat.token_count
        small.enqueue(FakeReply("late", prefill=100))
        with pytest.raises(DeadlineExceeded) as caught:
            chat.send(LONG, timeout=60)
        assert caught.value.timeout == 60
        small.enqueue_callable(lambda messages, options: signal.cancel() or "word")  # type: ignore[func-returns-value]
        with pytest.raises(Cancelled):
            chat.send(LONG, signal=signal)
        assert (chat.history, chat.token_count) == before
        assert small.conversations_open == 1
        small.enqueue("")
        chat.send(LONG)
        assert len(chat.history) < len(before[0])
        assert {message.text for message in chat.history if message.role == "user"} == {LONG}


def test_a_policy_of_ones_own(small: FakeEngine, desk: Client) -> None:
    """It gets the numbers and says what stays."""
    seen: list[Overflow] = []

    def keep_none(overflow: Overflow) -> list[Message]:
        seen.append(overflow)
        return [Message("system", (Text("You forgot."),))]

    with desk.chat("Be brief.", on_overflow=keep_none) as chat:
        send_until_full(chat)
        before = chat.history
        chat.send(LONG)
        assert (seen[0].history, seen[0].message.text, seen[0].limit) == (before, LONG, 200)
        assert [message.text for message in chat.history] == ["You forgot.", LONG, "Yes."]


@pytest.mark.parametrize("answer", [None, "all", [None], 3])
def test_a_policy_that_returns_something_else(small: FakeEngine, desk: Client, answer: Any) -> None:
    """Nothing happens."""
    with desk.chat(on_overflow=lambda overflow: answer) as chat:
        send_until_full(chat)
        before = chat.history
        with pytest.raises(OptionError, match="on_overflow must return messages"):
            chat.send(LONG)
        assert chat.history == before
    with pytest.raises(OptionError):
        desk.chat(on_overflow="forget")  # type: ignore[arg-type]


def test_earlier_turns_with_calls_go_whole(small: FakeEngine, desk: Client) -> None:
    """A result is never left without its call."""
    call = ToolCall("call_1", "look_up", {"city": "Rome"})
    begun = [
        Message("user", (Text(LONG),)),
        Message("assistant", (call,)),
        Message("tool", (ToolResult("call_1", "look_up", "south"),)),
        Message("assistant", (Text("South."),)),
    ]
    with desk.chat(tools=[raw()], initial_messages=begun, on_overflow="drop_oldest") as chat:
        for _ in range(6):
            chat.send(LONG)
            roles = [message.role for message in chat.history]
            assert roles[0] == "user"
            assert ("tool" in roles) == bool(chat.history[1].tool_calls)
        assert "tool" not in roles
