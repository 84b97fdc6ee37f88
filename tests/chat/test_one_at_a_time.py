"""Two who want the same chat, and a chat that is closed in the middle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from litertlm import (
    Cancelled,
    CancelToken,
    Chat,
    ChatBusy,
    Client,
    ClosedError,
    DeadlineExceeded,
    EngineError,
    Tool,
    ToolContext,
    events,
)
from litertlm.testing import FakeEngine

from .tools import CITY, Diary


class Doing:
    """Something that runs in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self.result = call()
        except BaseException as error:
            self.error = error

    @property
    def over(self) -> bool:
        """Whether it is."""
        return not self._thread.is_alive()

    def wait(self) -> Doing:
        """Until it is over."""
        self._thread.join(10)
        assert self.over
        return self


def test_a_busy_chat_refuses_everything_that_would_change_it(fake: FakeEngine, desk: Client) -> None:
    """And the turn in progress goes on."""
    with desk.chat() as chat:
        chat.send("a")
        stream = chat.send_stream("b")
        for call in (
            lambda: chat.send("c"),
            lambda: chat.send_stream("c"),
            chat.regenerate,
            lambda: chat.edit(0, "c"),
            chat.undo,
            chat.reset,
            chat.fork,
        ):
            with pytest.raises(ChatBusy):
                call()
        assert list(stream)[-1].final
        assert len(chat.history) == 4


def test_waiting_for_the_turn_before(fake: FakeEngine, desk: Client) -> None:
    """The second turn comes after the first, whatever becomes of that."""
    with desk.chat(when_busy="wait") as chat:
        for failed in (False, True):
            before = len(chat.history)
            gate = fake.enqueue("first", hold="prefill")
            if failed:
                stream = chat.send_stream("a")
                second = Doing(lambda: chat.send("b"))
                gate.release()
                stream.close()
            else:
                first = Doing(lambda: chat.send("a"))
                gate.wait()
                second = Doing(lambda: chat.send("b"))
                gate.release()
                assert first.wait().result.text == "first"
            assert second.wait().error is None
            assert len(chat.history) - before == (2 if failed else 4)


@pytest.mark.parametrize("late", ["regenerate", "edit", "undo", "run_tools"])
def test_what_waits_meets_the_chat_as_it_is_then(fake: FakeEngine, desk: Client, late: str) -> None:
    """Not as it was when it began to wait."""
    diary = Diary()
    with desk.chat(when_busy="wait", tools=[diary.tool()]) as chat:
        chat.send("a")
        gate = fake.enqueue_tool_calls([("note", {"city": "Rome"})], hold="prefill")
        first = Doing(lambda: chat.send("b", return_tool_requests=True))
        gate.wait()
        calls: dict[str, Callable[[], Any]] = {
            "regenerate": chat.regenerate,
            "edit": lambda: chat.edit(2, "B"),
            "undo": chat.undo,
            "run_tools": chat.run_tools,
        }
        second = Doing(calls[late])
        gate.release()
        first.wait()
        assert second.wait().error is None
        said = [message.text for message in chat.history if message.role == "user"]
        assert (
            said
            == {"regenerate": ["a", "b"], "edit": ["a", "B"], "undo": ["a"], "run_tools": ["a", "b"]}[late]
        )
        assert diary.called == (["Rome"] if late == "run_tools" else [])


def test_waiting_has_an_end(fake: FakeEngine, desk: Client) -> None:
    """The timeout, the signal, and closing the chat end it; the first turn goes on until then."""
    with desk.chat(when_busy="wait") as chat:
        gate = fake.enqueue("first", hold="prefill")
        first = Doing(lambda: chat.send("a"))
        gate.wait()
        told: list[events.Event] = []
        with pytest.raises(DeadlineExceeded):
            chat.send("b", timeout=0.05, on_event=told.append)
        signal = CancelToken()
        waiting = Doing(lambda: chat.send("b", signal=signal, on_event=told.append))
        signal.cancel()
        assert isinstance(waiting.wait().error, Cancelled)
        # It never was a turn.
        assert told == []
        third = Doing(lambda: chat.send("c"))
        chat.close()
        assert isinstance(third.wait().error, ClosedError)
        assert isinstance(first.wait().error, Cancelled | ClosedError)


@pytest.mark.parametrize("way", ["signal", "cancel"])
def test_waiting_for_the_engine_is_cancelled_at_once(fake: FakeEngine, desk: Client, way: str) -> None:
    """Another chat's turn keeps the engine for as long as it likes."""
    with desk.chat() as slow, desk.chat() as chat:
        gate = fake.enqueue("slow", hold="prefill")
        first = Doing(lambda: slow.send("a"))
        gate.wait()
        signal = CancelToken()
        begun = threading.Event()
        second = Doing(lambda: chat.send("b", signal=signal, on_event=lambda event: begun.set()))
        assert begun.wait(10)
        (signal if way == "signal" else chat).cancel()
        assert isinstance(second.wait().error, Cancelled)
        assert not first.over
        gate.release()
        assert first.wait().result.text == "slow"
        assert chat.history == ()
        chat.send("b")


def test_closing_in_the_middle_is_told_to_the_reader(fake: FakeEngine, desk: Client) -> None:
    """In the same thread and in another; once, and then the stream is over."""
    told: list[events.Event] = []
    chat = desk.chat(on_event=told.append)
    fake.enqueue("one two three")
    stream = chat.send_stream("a")
    next(stream)
    chat.close()
    with pytest.raises(ClosedError, match="closed"):
        next(stream)
    assert list(stream) == []
    assert stream.finished
    assert [type(event).__name__ for event in told][-1] == "TurnFailed"
    chat = desk.chat()
    gate = fake.enqueue("one two three", hold=1)
    reading = Doing(lambda: chat.send("a"))
    gate.wait()
    chat.close()
    assert isinstance(reading.wait().error, Cancelled | ClosedError)


def test_closing_while_a_tool_runs(fake: FakeEngine, desk: Client) -> None:
    """The tool is told, and nobody waits for it."""
    running, stopped = threading.Event(), threading.Event()

    def work(city: str, context: ToolContext) -> None:
        running.set()
        if context.cancel_token.wait(10):
            stopped.set()

    chat = desk.chat(tools=[Tool("work", "", CITY, work)])
    fake.enqueue_tool_calls([("work", {"city": "Rome"})])
    sending = Doing(lambda: chat.send("a"))
    assert running.wait(10)
    chat.close()
    assert isinstance(sending.wait().error, Cancelled | ClosedError)
    assert stopped.wait(10)


def test_a_stream_closed_by_its_reader_ends_quietly(fake: FakeEngine, desk: Client) -> None:
    """It has no reply."""
    with desk.chat() as chat:
        fake.enqueue("one two three")
        stream = chat.send_stream("a")
        next(stream)
        stream.close()
        stream.close()
        assert list(stream) == list(stream.events()) == []
        with pytest.raises(ClosedError):
            assert stream.reply


def test_cancelling_before_the_end_is_read(fake: FakeEngine, desk: Client) -> None:
    """All text has come, but the turn is not kept yet: cancelling it still undoes it."""
    with desk.chat() as chat:
        fake.enqueue("one")
        stream = chat.send_stream("a")
        assert next(stream).text == "one"
        chat.cancel()
        with pytest.raises(Cancelled):
            next(stream)
        assert chat.history == ()
        chat.cancel()
        chat.send("b")
        chat.cancel()
        assert len(chat.history) == 2


def test_errors_are_raised_once(fake: FakeEngine, desk: Client) -> None:
    """A stream that has failed is over."""
    with desk.chat() as chat:
        fake.enqueue_error(EngineError("broken"), "one two", at=1)
        stream = chat.send_stream("a")
        with pytest.raises(EngineError):
            list(stream)
        assert list(stream) == []


def test_streams_nobody_reads(fake: FakeEngine, desk: Client) -> None:
    """Dropped streams are undone, with a long-lived signal too; a generation's chat is closed."""
    signal = CancelToken()
    with desk.chat() as chat:
        chat.send_stream("a", signal=signal)
        gc.collect()
        assert chat.history == ()
        chat.send("b")
    desk.generate_stream("a", signal=signal)
    gc.collect()
    assert fake.conversations_open == 0
    stream = desk.generate_stream("a")
    next(stream)
    stream.close()
    assert fake.conversations_open == 0
    with pytest.raises(EngineError):
        fake.enqueue_error(EngineError("broken"), at="start")
        desk.generate_stream("a")
    assert fake.conversations_open == 0


def test_a_tool_cannot_send_to_its_own_chat(fake: FakeEngine, desk: Client) -> None:
    """It would wait for itself, so it is refused whatever the chat does about others."""

    def ask(city: str, context: ToolContext) -> str:
        answer: str = context.chat.send("And?", timeout=0.1).text
        return answer

    for when_busy in ("raise", "wait"):
        with desk.chat(tools=[Tool("ask", "", CITY, ask, on_error="inform")], when_busy=when_busy) as chat:
            fake.enqueue_tool_calls([("ask", {"city": "Rome"})])
            chat.send("Ask.")
            (result,) = chat.history[2].parts
            assert "error" in result.result  # type: ignore[union-attr]


def test_closing_is_over_when_it_returns(fake: FakeEngine, desk: Client) -> None:
    """From many threads at once."""
    chats: list[Chat] = [desk.chat() for _ in range(4)]
    for chat in chats:
        for closing in [Doing(chat.close) for _ in range(3)]:
            assert closing.wait().error is None
    assert fake.conversations_open == 0
