"""Turns of several generations: their order, their ends, and what is left of them when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from litertlm import (
    Allow,
    Cancelled,
    CancelToken,
    Chat,
    Client,
    DeadlineExceeded,
    Deny,
    EngineError,
    MessageError,
    Pause,
    ReplyFormatError,
    Tool,
    ToolContext,
    ToolError,
    ToolHopsExceeded,
    ToolTimeout,
    events,
)
from litertlm.testing import FakeEngine, FakeReply

from .tools import CITY, Diary

ROME = ("note", {"city": "Rome"})
OSLO = ("note", {"city": "Oslo"})


def hang(city: str, context: ToolContext) -> str:
    """Work until nobody wants it."""
    context.cancel_token.wait(10)
    return city


@pytest.fixture
def diary() -> Diary:
    """A tool's memory."""
    return Diary()


@pytest.fixture
def chat(desk: Client, diary: Diary) -> Iterator[Chat]:
    """A chat with a tool that works, one that hangs and one that fails."""
    failing = Diary(fails=ValueError("no"))
    tools = [diary.tool(), Tool("hang", "", CITY, hang), failing.tool("fail")]
    with desk.chat("Be brief.", tools=tools) as opened:
        yield opened


def engine_fails(fake: FakeEngine, chat: Chat) -> type[Exception]:
    """The engine fails after the tool has run."""
    fake.enqueue_tool_calls([ROME])
    fake.enqueue_error(EngineError("broken"), "one two", at=1)
    return EngineError


def tool_fails(fake: FakeEngine, chat: Chat) -> type[Exception]:
    """A tool fails in the second round."""
    fake.enqueue_tool_calls([ROME])
    fake.enqueue_tool_calls([("fail", {"city": "Oslo"})])
    return ToolError


def tool_hangs(fake: FakeEngine, chat: Chat) -> type[Exception]:
    """A tool runs into its timeout."""
    fake.enqueue_tool_calls([ROME])
    fake.enqueue_tool_calls([("hang", {"city": "Oslo"})])
    return ToolTimeout


def hops_exceeded(fake: FakeEngine, chat: Chat) -> type[Exception]:
    """The model goes on calling."""
    for city in "abc":
        fake.enqueue_tool_calls([("note", {"city": city})])
    return ToolHopsExceeded


def bad_call(fake: FakeEngine, chat: Chat) -> type[Exception]:
    """A call that cannot be parsed, after a tool has run."""
    fake.enqueue_tool_calls([ROME])
    fake.enqueue_malformed_tool_call()
    return EngineError


FAILURES = [engine_fails, tool_fails, tool_hangs, hops_exceeded, bad_call]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("streamed", [False, True], ids=["send", "stream"])
def test_a_failed_turn_of_several_hops_leaves_no_trace(
    fake: FakeEngine, desk: Client, diary: Diary, chat: Chat, failure: Callable[..., Any], streamed: bool
) -> None:
    """History, usage, token count and the next reply are those of a chat that never made it."""
    chat.send("Hello!")
    before = chat.history, chat.usage, chat.token_count
    told: list[events.Event] = []
    options: dict[str, Any] = {"max_tool_hops": 2, "tool_timeout": 0.05, "on_event": told.append}
    error = failure(fake, chat)
    with pytest.raises(error):
        if streamed:
            list(chat.send_stream("Note it.", **options))
        else:
            chat.send("Note it.", **options)
    assert (chat.history, chat.usage, chat.token_count) == before
    ends = [event for event in told if isinstance(event, events.TurnEnded | events.TurnFailed)]
    assert ends == [told[-1]]
    assert isinstance(told[-1], events.TurnFailed)
    assert isinstance(told[-1].error, error)
    with desk.chat(
        "Be brief.", tools=[diary.tool(), Tool("hang", "", CITY, hang), Diary().tool("fail")]
    ) as other:
        other.send("Hello!")
        assert chat.send("Thanks.") == other.send("Thanks.")
        assert chat.token_count == other.token_count


def test_events_come_in_order(fake: FakeEngine, chat: Chat) -> None:
    """From the listener and from the stream alike."""
    fake.enqueue_tool_calls([ROME], "Wait.", thinking="Hm.")
    fake.enqueue("Done.")
    told: list[events.Event] = []
    read = list(chat.send_stream("Note it.", on_event=told.append).events())
    assert read == told
    names = [type(event).__name__ for event in told]
    assert names == [
        "TurnStarted",
        "HopStarted",
        *["ThinkingDelta"] * names.count("ThinkingDelta"),
        *["TextDelta"] * 2,
        "ToolCallDelta",
        "HopEnded",
        "ToolBatchStarted",
        "ToolStarted",
        "ToolEnded",
        "ToolBatchEnded",
        "HopStarted",
        *["TextDelta"] * 2,
        "HopEnded",
        "TurnEnded",
    ]
    assert [event.number for event in told if isinstance(event, events.HopStarted)] == [0, 1]


@pytest.mark.parametrize("chunks", range(6))
def test_a_stream_that_is_left_ends_with_one_event(fake: FakeEngine, chat: Chat, chunks: int) -> None:
    """Wherever it is left, and although nobody reads any more."""
    fake.enqueue_tool_calls([ROME], "Wait.")
    if chunks > 3:
        fake.enqueue("one two three four five")
    told: list[events.Event] = []
    with chat.send_stream("Note it.", on_event=told.append) as stream:
        for _ in range(chunks):
            next(stream)
    assert isinstance(told[-1], events.TurnFailed)
    assert isinstance(told[-1].error, Cancelled)
    assert sum(isinstance(event, events.TurnFailed) for event in told) == 1
    assert len(chat.history) == 1


def test_a_listener_that_raises_fails_the_turn(fake: FakeEngine, chat: Chat) -> None:
    """At any event but the last, after which it is too late."""
    kinds = (
        "TurnStarted",
        "HopStarted",
        "TextDelta",
        "ToolCallDelta",
        "HopEnded",
        "ToolStarted",
        "ToolBatchEnded",
    )
    for kind in kinds:
        if kind != "TurnStarted":
            fake.enqueue_tool_calls([ROME], "Wait.")

        def listen(event: events.Event, kind: str = kind) -> None:
            if type(event).__name__ == kind:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            chat.send("Note it.", on_event=listen)
        assert len(chat.history) == 1
    chat.send("Hello!")


@pytest.mark.parametrize("way", ["cancel", "signal"])
def test_cancelling_while_a_tool_runs(fake: FakeEngine, desk: Client, way: str) -> None:
    """From the tool's own thread, which is another than the reader's; the handler is told."""
    signal, stopped = CancelToken(), threading.Event()

    def stop(city: str, context: ToolContext) -> str:
        (context.chat if way == "cancel" else signal).cancel()
        if context.cancel_token.wait(10):
            stopped.set()
        return city

    with desk.chat(tools=[Tool("stop", "", CITY, stop)]) as chat:
        fake.enqueue_tool_calls([("stop", {"city": "Rome"})])
        with pytest.raises(Cancelled):
            chat.send("Stop.", signal=signal)
        assert stopped.wait(10)
        assert chat.history == ()
        if way == "signal":
            with pytest.raises(Cancelled):
                chat.send("Again.", signal=signal)
        chat.send("Hello!")


def test_the_timeout_covers_tools(fake: FakeEngine, chat: Chat) -> None:
    """The error has the timeout that was asked for, not what was left of it."""
    fake.enqueue_tool_calls([("hang", {"city": "Rome"})])
    with pytest.raises(DeadlineExceeded) as caught:
        chat.send("Hang.", timeout=0.2)
    assert caught.value.timeout == 0.2
    fake.enqueue(FakeReply("late", prefill=100))
    with pytest.raises(DeadlineExceeded) as caught:
        chat.send("Hello!", timeout=60)
    assert caught.value.timeout == 60
    assert len(chat.history) == 1


def test_approval(fake: FakeEngine, chat: Chat, diary: Diary) -> None:
    """Allowed calls run, denied ones are told to the model, and both make one message."""
    fake.enqueue_tool_calls([ROME, OSLO])
    asked = []

    def approve(call: Any, tool: Tool) -> Any:
        asked.append((call.arguments["city"], tool.name))
        return Allow() if call.arguments["city"] == "Rome" else Deny("Not there.")

    chat.send("Both.", approve=approve)
    assert asked == [("Rome", "note"), ("Oslo", "note")]
    assert diary.called == ["Rome"]
    assert [part.result for part in fake.turns[-1].messages[-1].parts] == [  # type: ignore[union-attr]
        "noted Rome",
        {"error": "Not there."},
    ]


def test_a_pause_keeps_the_turn_and_waits(fake: FakeEngine, chat: Chat, diary: Diary) -> None:
    """The calls come back and nothing has run; run_tools goes on, or is put off again."""
    told: list[events.Event] = []
    fake.enqueue_tool_calls([ROME, OSLO])
    reply = chat.send(
        "Both.", approve=lambda call, tool: Pause() if call.arguments["city"] == "Oslo" else True
    )
    assert ([call.name for call in reply.tool_calls], reply.finish_reason) == (["note"] * 2, "tool_calls")
    assert chat.pending_tool_calls == reply.tool_calls
    before = chat.history, chat.usage, chat.token_count
    again = chat.run_tools(approve=lambda call, tool: Pause(), on_event=told.append)
    assert again.tool_calls == reply.tool_calls
    assert (chat.history, chat.usage, chat.token_count) == before
    assert [type(event).__name__ for event in told] == ["TurnStarted", "TurnEnded"]
    assert diary.called == []
    fake.enqueue("Done.")
    assert chat.run_tools(approve=lambda call, tool: True).text == "Done."
    assert diary.called == ["Rome", "Oslo"]
    with pytest.raises(MessageError, match="No tool call waits"):
        chat.run_tools()
    # The pause was within the turn of the message: undoing takes it all back.
    assert len(chat.undo()) == 4


def test_a_failed_run_of_put_off_calls_leaves_them_waiting(
    fake: FakeEngine, chat: Chat, diary: Diary
) -> None:
    """They can be run again."""
    fake.enqueue_tool_calls([("fail", {"city": "Rome"})])
    calls = chat.send("Try.", approve=lambda call, tool: Pause()).tool_calls
    with pytest.raises(ToolError):
        chat.run_tools()
    assert chat.pending_tool_calls == calls


def test_an_answer_in_a_form_after_tools(fake: FakeEngine, chat: Chat, diary: Diary) -> None:
    """Tools first, unconstrained; then one generation that must have the form, heard once."""
    from pydantic import BaseModel

    class Weather(BaseModel):
        city: str
        sunny: bool

    fake.enqueue_tool_calls([ROME])
    fake.enqueue("It is sunny in Rome.", thinking="Sun.")
    fake.enqueue('{"city": "Rome", "sunny": true}', thinking="JSON.")
    told: list[events.Event] = []
    with chat.send_stream("Rome?", response_format=Weather, on_event=told.append) as stream:
        chunks = list(stream)
        reply = stream.reply
    assert reply.parsed == Weather(city="Rome", sunny=True)
    assert "".join(chunk.text for chunk in chunks) == reply.text
    assert "".join(chunk.thinking for chunk in chunks) == reply.thinking == "JSON."
    assert [type(event).__name__ for event in told].count("HopStarted") == len(reply.hops) == 2
    assert [bool(turn.tools) for turn in fake.turns] == [True, True, False]
    assert [turn.options.response_format is not None for turn in fake.turns] == [False, False, True]
    assert reply.usage.total_tokens == chat.token_count
    assert "It is sunny" not in "".join(message.text for message in chat.history)


def test_an_answer_that_has_the_form_anyway(fake: FakeEngine, chat: Chat) -> None:
    """It is not generated twice."""
    from pydantic import BaseModel

    class Answer(BaseModel):
        yes: bool

    fake.enqueue('{"yes": true}')
    with chat.send_stream("Is it?", response_format=Answer) as stream:
        assert "".join(chunk.text for chunk in stream) == '{"yes": true}'
        assert stream.reply.parsed == Answer(yes=True)
    assert len(fake.turns) == 1


def test_an_answer_without_the_form_is_undone(fake: FakeEngine, chat: Chat) -> None:
    """Also when it was cut, and then it says so."""
    fake.enqueue("free")
    fake.enqueue('{"yes": tr')
    with pytest.raises(ReplyFormatError):
        chat.send("Is it?", response_format={"type": "object"})
    fake.enqueue("free")
    fake.enqueue('{"yes": true, "more": "one two three four five"}')
    with pytest.raises(ReplyFormatError, match="max_output_tokens"):
        chat.send("Is it?", response_format={"type": "object"}, max_output_tokens=5)
    assert len(chat.history) == 1


def test_options_hold_for_every_hop(fake: FakeEngine, chat: Chat) -> None:
    """And the time that is left gets less."""
    fake.enqueue_tool_calls([ROME])
    fake.enqueue("Done.")
    chat.send("Note it.", timeout=60, thinking=False, sampler={"seed": 3})
    assert [turn.thinking for turn in fake.turns] == [False, False]
    assert [turn.sampler.seed for turn in fake.turns] == [3, 3]
    first, second = (turn.options.timeout for turn in fake.turns)
    assert first is not None
    assert second is not None
    assert second < first <= 60


def test_repeated_calls_are_not_run_for_ever(fake: FakeEngine, chat: Chat, diary: Diary) -> None:
    """The third equal call of a turn is answered with what the first gave."""
    for _ in range(3):
        fake.enqueue_tool_calls([ROME])
    chat.send("Note it.")
    assert diary.called == ["Rome", "Rome"]
    (result,) = fake.turns[-1].messages[-1].parts
    assert result.result["returned"] == "noted Rome"  # type: ignore[union-attr]
