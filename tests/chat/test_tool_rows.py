"""What tools do in a chat, row by row."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal

import pytest

from litertlm import (
    Client,
    OptionError,
    Tool,
    ToolContext,
    ToolError,
    ToolHopsExceeded,
    ToolResult,
    events,
    tool,
)
from litertlm.testing import FakeEngine

from .table import Table
from .tools import CITY, Diary, raw, weather

table = Table()
ROME = ("note", {"city": "Rome"})
OSLO = ("note", {"city": "Oslo"})


def rounds(fake: FakeEngine, number: int, name: str = "note") -> None:
    """The model calls a tool that many times, each time with other arguments."""
    for place in range(number):
        fake.enqueue_tool_calls([(name, {"city": str(place)})])


@table.row("RawTool")
def by_hand(fake: FakeEngine, desk: Client) -> None:
    """Calls come back; the application sends the results, and the turn goes on from there."""
    with desk.chat(tools=[raw()]) as chat:
        fake.enqueue_tool_calls([("look_up", {"city": "Rome"})])
        fake.enqueue("It is south.")
        (call,) = chat.send("Rome?").tool_calls
        reply = chat.send_tool_result(ToolResult(call.id, call.name, "south"))
        assert reply.text == "It is south."
        assert [message.role for message in chat.history] == ["user", "assistant", "tool", "assistant"]


@table.row("ManagedTool")
def managed(fake: FakeEngine, desk: Client) -> None:
    """The chat runs it with typed arguments; the reply is what the model says afterwards."""
    with desk.chat(tools=[weather]) as chat:
        fake.enqueue_tool_calls([("weather", {"city": "Rome"})])
        fake.enqueue("Sunny.")
        reply = chat.send("Rome?")
        assert (reply.text, reply.tool_calls, reply.finish_reason) == ("Sunny.", (), "stop")
        assert chat.history[2].parts[0].result == "sunny in Rome"  # type: ignore[union-attr]


@table.row("Non-dispatchable calls")
def not_all_can_run(fake: FakeEngine, desk: Client) -> None:
    """If one call has no handler, or names no tool, all of them come back and none is run."""
    for other in ("look_up", "no_such_tool"):
        diary = Diary()
        with desk.chat(tools=[raw(), diary.tool()]) as chat:
            fake.enqueue_tool_calls([ROME, (other, {"city": "Oslo"})])
            reply = chat.send("Both.")
            assert [call.name for call in reply.tool_calls] == ["note", other]
            assert diary.called == []
            results = [ToolResult(call.id, call.name, "done") for call in reply.tool_calls]
            assert chat.send_tool_result(results).text


@table.row("Non-dispatchable calls in a stream")
def not_all_can_run_in_a_stream(fake: FakeEngine, desk: Client) -> None:
    """The final chunk carries the calls, as the reply of a blocking send does: one rule for both."""
    diary = Diary()
    with desk.chat(tools=[raw(), diary.tool()]) as chat:
        fake.enqueue_tool_calls([ROME, ("look_up", {"city": "Oslo"})])
        chunks = list(chat.send_stream("Both."))
        assert [call.name for chunk in chunks[:-1] for call in chunk.tool_calls] == ["note", "look_up"]
        assert chunks[-1].reply is not None
        assert [call.name for call in chunks[-1].reply.tool_calls] == ["note", "look_up"]
        assert diary.called == []


@table.row("WithReturnToolRequests")
def requests_come_back(fake: FakeEngine, desk: Client) -> None:
    """On every send, streams too: an option that holds for some sends only would be a trap."""
    diary = Diary()
    with desk.chat(tools=[diary.tool()]) as chat:
        fake.enqueue_tool_calls([ROME])
        (call,) = chat.send("Note it.", return_tool_requests=True).tool_calls
        fake.enqueue_tool_calls([OSLO])
        result = ToolResult(call.id, call.name, "done")
        assert chat.send_tool_result(result, return_tool_requests=True).tool_calls
        fake.enqueue_tool_calls([ROME])
        with chat.send_stream("Again.", return_tool_requests=True) as stream:
            assert [len(chunk.reply.tool_calls) for chunk in stream if chunk.reply] == [1]
        fake.enqueue_tool_calls([ROME])
        assert chat.send_multi(["Again."], return_tool_requests=True).tool_calls
        assert diary.called == []
        fake.enqueue_tool_calls([OSLO])
        assert chat.run_tools(return_tool_requests=True).tool_calls
        assert diary.called == ["Rome"]
        assert chat.run_tools().tool_calls == ()
        assert diary.called == ["Rome", "Oslo"]


@table.row("WithMaxConcurrentTools")
def concurrent(fake: FakeEngine, desk: Client) -> None:
    """So many handlers at once; results follow the model's order, whatever ends first.

    0 does not mean 1 here but is refused, as every option out of range is.
    """
    meeting, order = threading.Barrier(2), []
    second_done = threading.Event()

    def meet(city: str) -> str:
        meeting.wait(10)
        if city == "Rome":
            second_done.wait(10)
        order.append(city)
        if city == "Oslo":
            second_done.set()
        return city

    with desk.chat(tools=[Tool("note", "", CITY, meet)]) as chat:
        fake.enqueue_tool_calls([ROME, OSLO])
        chat.send("Both.", max_concurrent_tools=2)
        assert order == ["Oslo", "Rome"]
        assert [part.result for part in chat.history[2].parts] == ["Rome", "Oslo"]  # type: ignore[union-attr]
        with pytest.raises(OptionError):
            chat.send("Both.", max_concurrent_tools=0)


@table.row("First failure ends the batch")
def first_failure(fake: FakeEngine, desk: Client) -> None:
    """The others are asked to stop, and the turn fails with the first failure in real time."""
    waits, stopped = threading.Event(), threading.Event()

    def work(city: str, context: ToolContext) -> str:
        if city == "Oslo":
            waits.wait(10)
            raise KeyError(city)
        waits.set()
        if context.cancel_token.wait(10):
            stopped.set()
        return city

    with desk.chat(tools=[Tool("note", "", CITY, work)]) as chat:
        fake.enqueue_tool_calls([ROME, OSLO])
        with pytest.raises(ToolError) as caught:
            chat.send("Both.", max_concurrent_tools=2)
        assert caught.value.call.arguments == {"city": "Oslo"}
        assert stopped.wait(10)
        assert chat.history == ()


@table.row("WithMaxToolHops")
def default_cap(fake: FakeEngine, desk: Client) -> None:
    """5 when nothing is said: 5 rounds of tools, 6 generations."""
    diary = Diary()
    with desk.chat(tools=[diary.tool()]) as chat:
        rounds(fake, 5)
        fake.enqueue("Done.")
        assert len(chat.send("Go on.").hops) == 6
        assert len(diary.called) == 5


@table.row("Tool hop cap")
def cap(fake: FakeEngine, desk: Client) -> None:
    """Looked at before a tool is run; the error has the cap, the rounds and the reply that went too far.

    A cap of 0 runs no tool at all, rather than meaning the default: None is what means that.
    """
    for most in (0, 1, 5):
        diary = Diary()
        with desk.chat(tools=[diary.tool()]) as chat:
            chat.send("Hello!")
            before = chat.history, chat.usage, chat.token_count
            rounds(fake, most + 1)
            with pytest.raises(ToolHopsExceeded, match=rf"^tool hops exceeded \(cap {most}\)") as caught:
                chat.send("Go on.", max_tool_hops=most)
            assert (caught.value.cap, caught.value.hops, len(diary.called)) == (most, most, most)
            assert [call.name for call in caught.value.last_reply.tool_calls] == ["note"]
            assert len(caught.value.last_reply.hops) == most + 1
            assert (chat.history, chat.usage, chat.token_count) == before
    with pytest.raises(OptionError):
        desk.chat(max_tool_hops=-1)


@table.row("Answer at the hop cap")
def answer_at_cap(fake: FakeEngine, desk: Client) -> None:
    """Instead of the error, the last generation is made without tools, so it has to answer."""
    for most in (0, 1, 2):
        diary = Diary()
        with desk.chat(tools=[diary.tool()], answer_at_hop_limit=True, max_tool_hops=most) as chat:
            rounds(fake, most)
            fake.enqueue("That is all.")
            assert chat.send("Go on.").text == "That is all."
            assert len(diary.called) == most
        assert [bool(turn.tools) for turn in fake.turns[-most - 1 :]] == [True] * most + [False]


@table.row("WithToolPolicy")
def policy(fake: FakeEngine, desk: Client) -> None:
    """Per tool. The default raises and the model hears nothing; ``inform`` tells the model and goes on."""
    for on_error in ("raise", "inform"):
        diary = Diary(fails=ValueError("no ink"))
        with desk.chat(tools=[diary.tool(on_error=on_error)]) as chat:
            fake.enqueue_tool_calls([ROME])
            if on_error == "raise":
                with pytest.raises(ToolError, match="'note' failed: ValueError: no ink") as caught:
                    chat.send("Note it.")
                assert isinstance(caught.value.__cause__, ValueError)
                assert chat.history == ()
                assert len(fake.turns) == 1
            else:
                fake.enqueue("I could not.")
                assert chat.send("Note it.").text == "I could not."
                (result,) = fake.turns[-1].messages[-1].parts
                assert result.result == {"error": "ValueError: no ink"}  # type: ignore[union-attr]


@table.row("ToolDefinition")
def definition(fake: FakeEngine, desk: Client) -> None:
    """Name, description and a JSON schema, and so the model sees it."""
    tool = raw()
    assert (tool.name, tool.description, tool.parameters) == ("look_up", "Look something up.", CITY)
    with desk.chat(tools=[tool]) as chat:
        chat.send("Hello!")
    (seen,) = fake.turns[0].tools
    assert (seen.name, seen.description, seen.parameters) == ("look_up", "Look something up.", CITY)
    assert '<|tool>look_up{"properties"' in fake.turns[0].prompt


@table.row("Schema reflection")
def reflection(fake: FakeEngine, desk: Client) -> None:
    """Type hints become a schema; parameters with defaults are optional; descriptions come along."""

    @tool
    def search(
        text: Annotated[str, "What for."],
        most: int = 5,
        exact: bool | None = None,
        order: Literal["up", "down"] = "up",
        tags: list[str] = [],  # noqa: B006
    ) -> str:
        """Search."""
        return text

    properties = search.parameters["properties"]
    assert search.parameters["required"] == ["text"]
    assert properties["text"] == {"type": "string", "description": "What for."}
    assert (properties["most"]["type"], properties["order"]["enum"]) == ("integer", ["up", "down"])
    assert properties["tags"]["items"] == {"type": "string"}


@table.row("Registration errors")
def registration(fake: FakeEngine, desk: Client) -> None:
    """Tools belong to a chat, so a name is unique there, not in the whole client."""
    with pytest.raises(OptionError, match="duplicate tool name 'look_up'"):
        desk.chat(tools=[raw(), raw()])
    with pytest.raises(OptionError, match="'' is not a tool name"):
        raw("")
    with pytest.raises(OptionError, match="cannot be called"):
        Tool("note", "", CITY, "no handler")  # type: ignore[arg-type]
    with desk.chat(tools=[raw()]), desk.chat(tools=[raw()]):
        pass


@table.row("Dispatch loop")
def loop(fake: FakeEngine, desk: Client) -> None:
    """Send, run, send back, until there are no calls; results given by hand enter the same loop."""
    diary = Diary()
    with desk.chat(tools=[raw(), diary.tool()]) as chat:
        fake.enqueue_tool_calls([("look_up", {"city": "Rome"})])
        (call,) = chat.send("Rome?").tool_calls
        rounds(fake, 2)
        fake.enqueue("Done.")
        reply = chat.send_tool_result(ToolResult(call.id, call.name, "south"))
        assert (reply.text, len(reply.hops), len(diary.called)) == ("Done.", 3, 2)
        roles = "".join(message.role[0] for message in chat.history)
        assert roles == "ua" + "ta" * 3
        assert len(chat.undo()) == 8


@table.row("Wire format")
def wire(fake: FakeEngine, desk: Client) -> None:
    """One tool message with all results, in the order of the calls."""
    with desk.chat(tools=[Diary().tool()]) as chat:
        fake.enqueue_tool_calls([ROME, OSLO])
        chat.send("Both.")
        message = fake.turns[1].messages[-1]
        assert message.role == "tool"
        assert [(part.name, part.result) for part in message.parts] == [  # type: ignore[union-attr]
            ("note", "noted Rome"),
            ("note", "noted Oslo"),
        ]


@table.row("Streaming")
def streaming(fake: FakeEngine, desk: Client) -> None:
    """Chunks of all generations, one final chunk at the end of them all; no call is lost between chunks."""
    diary = Diary()
    with desk.chat(tools=[diary.tool()]) as chat:
        fake.enqueue_tool_calls([ROME, OSLO, ("note", {"city": "Bonn"})], "Let me see.")
        fake.enqueue("Done.")
        chunks = list(chat.send_stream("All of them."))
        assert [len(chunk.tool_calls) for chunk in chunks if chunk.tool_calls] == [1, 1, 1]
        assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert "".join(chunk.text for chunk in chunks) == "Let me see.Done."
        assert diary.called == ["Rome", "Oslo", "Bonn"]
        assert chunks[-1].reply is not None
        assert chunks[-1].reply.text == "Done."


@table.row("Argument cleanup")
def cleanup(fake: FakeEngine, desk: Client) -> None:
    """The model's quote marks do not reach a handler."""
    diary = Diary()
    with desk.chat(tools=[diary.tool()]) as chat:
        fake.enqueue_tool_calls([("note", {"city": '<|"|>Rome<|"|>'})])
        chat.send("Note it.")
        assert diary.called == ["Rome"]


@table.row("Argument cleanup by hand")
def cleanup_by_hand(fake: FakeEngine, desk: Client) -> None:
    """Nor an application that runs the tool itself."""
    with desk.chat(tools=[raw()]) as chat:
        fake.enqueue_tool_calls([("look_up", {"city": '<|"|>Rome<|"|>'})])
        (call,) = chat.send("Rome?").tool_calls
        assert call.arguments == {"city": "Rome"}
        assert chat.pending_tool_calls == (call,)


@table.row("Wrong arguments")
def wrong_arguments(fake: FakeEngine, desk: Client) -> None:
    """Arguments that do not fit are told to the model, whatever the policy, and no handler sees them."""
    diary = Diary()
    told: list[events.Event] = []
    with desk.chat(tools=[diary.tool()], on_event=told.append) as chat:
        fake.enqueue_tool_calls([("note", {"city": 7, "town": "Rome"})])
        fake.enqueue_tool_calls([ROME])
        chat.send("Note it.")
        assert diary.called == ["Rome"]
    assert [type(event).__name__ for event in told].count("ToolFailed") == 1


@table.each
def test_tool_feature(case: Any, fake: FakeEngine, desk: Client) -> None:
    """Every row holds."""
    case(fake, desk)
