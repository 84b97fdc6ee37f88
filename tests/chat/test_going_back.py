"""Undo, regenerate, edit, fork and reset, after whatever has happened before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from litertlm import (
    Cancelled,
    Chat,
    Client,
    EngineError,
    Image,
    Message,
    MessageError,
    Text,
    ToolCall,
    ToolResult,
)
from litertlm.testing import FakeEngine

from .tools import Diary, parts_of, raw

ROME = ("note", {"city": "Rome"})


def said(chat: Chat) -> list[str]:
    """The texts of the history."""
    return [message.text for message in chat.history]


def next_reply(desk: Client, *messages: str) -> tuple[str, int]:
    """What a fresh chat that made only these turns says in the end, and its token count."""
    with desk.chat() as chat:
        replies = [chat.send(message).text for message in messages]
        return replies[-1], chat.token_count


def test_undo(desk: Client) -> None:
    """The turns are gone, and the next reply is that of a chat that never made them."""
    with desk.chat() as chat:
        for text in ("a", "b", "c"):
            chat.send(text)
        gone = chat.undo(2)
        assert [message.text for message in gone if message.role == "user"] == ["b", "c"]
        reply = chat.send("d")
        assert (reply.text, chat.token_count) == next_reply(desk, "a", "d")
        for wrong in (3, -1):
            with pytest.raises(MessageError):
                chat.undo(wrong)
        assert chat.undo(0) == ()


def test_undo_takes_all_hops(fake: FakeEngine, desk: Client) -> None:
    """Calls, results and the answer are one turn, by hand too."""
    with desk.chat(tools=[raw()]) as chat:
        chat.send("Hello!")
        fake.enqueue_tool_calls([("look_up", {"city": "Rome"})])
        (call,) = chat.send("Rome?").tool_calls
        before = chat.history, chat.usage
        chat.send_tool_result(ToolResult(call.id, call.name, "south"))
        assert len(chat.undo()) == 4
        assert (len(chat.history), chat.usage.total_tokens) == (2, chat.token_count)
        assert len(before[0]) == 4


def test_results_for_calls_that_were_there_from_the_beginning(fake: FakeEngine, desk: Client) -> None:
    """They make a turn of their own, which can be undone and made again, and reset ends before it."""
    diary = Diary()
    begun = [
        Message("user", (Text("Note it."),)),
        Message("assistant", (ToolCall("call_1", "note", {"city": "Rome"}),)),
    ]
    goes_on: list[Callable[[Chat], object]] = [
        lambda chat: chat.run_tools(),
        lambda chat: chat.send_tool_result(ToolResult("call_1", "note", "noted")),
    ]
    for go_on in goes_on:
        with desk.chat(tools=[diary.tool()], initial_messages=begun) as chat:
            before = chat.history
            go_on(chat)
            after = said(chat)
            fake.enqueue("Otherwise.")
            assert chat.regenerate().text == "Otherwise."
            assert said(chat)[:-1] == after[:-1]
            chat.undo()
            assert chat.history == before
            go_on(chat)
            chat.send("Thanks.")
            chat.reset()
            assert chat.history == before
            assert chat.pending_tool_calls
    assert diary.called == ["Rome", "Rome"]


def test_regenerate(fake: FakeEngine, desk: Client) -> None:
    """The same message, another answer, with other options for once; tools run again."""
    diary = Diary()
    with desk.chat(tools=[diary.tool()]) as chat:
        with pytest.raises(MessageError):
            chat.regenerate()
        fake.enqueue_tool_calls([ROME])
        fake.enqueue("One.")
        chat.send("Note it.")
        fake.enqueue_tool_calls([ROME])
        fake.enqueue("Two.")
        reply = chat.regenerate(sampler={"seed": 5})
        assert (reply.text, len(chat.history), diary.called) == ("Two.", 4, ["Rome", "Rome"])
        assert chat.usage == reply.usage
        assert fake.turns[-1].sampler.seed == 5
        assert len(chat.undo()) == 4
        assert chat.history == ()


@pytest.mark.parametrize("way", ["error", "cancel", "leave"])
def test_what_fails_keeps_the_old_answer(fake: FakeEngine, desk: Client, way: str) -> None:
    """Regenerate and edit alike."""
    with desk.chat() as chat:
        chat.send("a")
        chat.send("b")
        before = chat.history, chat.usage, chat.token_count
        for begin in (chat.regenerate_stream, lambda: chat.edit_stream(0, "A")):
            if way == "error":
                fake.enqueue_error(EngineError("broken"), "one two", at=1)
                with pytest.raises(EngineError):
                    list(begin())
            elif way == "cancel":
                fake.enqueue("one two three")
                stream = begin()
                next(stream)
                stream.cancel()
                with pytest.raises(Cancelled):
                    list(stream)
            else:
                fake.enqueue("one two three")
                with begin() as stream:
                    next(stream)
            assert (chat.history, chat.usage, chat.token_count) == before
        reply = chat.send("c")
        assert (reply.text, chat.token_count) == next_reply(desk, "a", "b", "c")


def test_edit(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Another text, the same pictures; what came after is forgotten."""
    with desk.chat("Be brief.") as chat:
        chat.send_multi([Image(png), "What is this?"])
        chat.send("b")
        chat.edit(1, "And what is that?")
        assert parts_of(chat.history[1]) == ["Image", "Text"]
        assert (chat.history[1].text, len(chat.history)) == ("And what is that?", 3)
        chat.send("c")
        chat.edit(-2, "C")
        assert said(chat)[3] == "C"
        for wrong in (0, 2, 9, -9):
            with pytest.raises(MessageError):
                chat.edit(wrong, "?")
        with pytest.raises(MessageError):
            chat.edit(1, "  ")


def test_fork(fake: FakeEngine, desk: Client) -> None:
    """Both go on as if they were alone, can go back past the fork, and close alone."""
    with desk.chat() as chat:
        chat.send("a")
        chat.send("b")
        fork = chat.fork()
        assert (fork.history, fork.usage, fork.token_count) == (chat.history, chat.usage, chat.token_count)
        reply = fork.send("c")
        assert (reply.text, fork.token_count) == next_reply(desk, "a", "b", "c")
        assert chat.send("d").text == next_reply(desk, "a", "b", "d")[0]
        fork.undo(2)
        assert fork.send("e").text == next_reply(desk, "a", "e")[0]
        fork.close()
        chat.undo()
        assert chat.send("c").text == reply.text


def test_reset(desk: Client) -> None:
    """Only what was there from the beginning stays."""
    with desk.chat("Be brief.") as chat:
        chat.send("a")
        first = chat.history
        chat.send("b")
        chat.reset()
        assert (said(chat), chat.token_count, chat.usage.total_tokens) == (["Be brief."], 0, 0)
        chat.send("a")
        assert chat.history == first


def test_going_back_after_trimming() -> None:
    """What was dropped comes back; a turn that dropped something and failed brings it back, too."""
    fake = FakeEngine(context=120, default=lambda messages, options: f"{len(messages)} messages.")
    with Client(engine=fake) as desk, desk.chat(on_overflow="drop_oldest") as chat:
        while True:
            before = chat.history, chat.usage, chat.token_count
            chat.send("word " * 12)
            if len(chat.history) < len(before[0]) + 2:
                break
        chat.undo()
        assert (chat.history, chat.usage, chat.token_count) == before
        fake.enqueue_error(EngineError("broken"), "one two", at=1)
        with pytest.raises(EngineError):
            chat.send("word " * 12)
        assert (chat.history, chat.usage, chat.token_count) == before
        chat.send("word " * 12)
        trimmed = chat.history
        chat.regenerate()
        assert [message.role for message in chat.history] == [message.role for message in trimmed]
        fork = chat.fork()
        fork.undo()
        assert fork.history == before[0]
        chat.reset()
        assert chat.history == ()
