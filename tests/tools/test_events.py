"""What happens is told in the waiting thread, in an order that can be relied on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from litertlm import Deny, ToolError, ToolResult
from litertlm.tools import (
    ToolBatchEnded,
    ToolBatchStarted,
    ToolEnded,
    ToolEvent,
    ToolFailed,
    ToolStarted,
)

from .calls import call, calls, handler, turn


def names(events: list[ToolEvent]) -> list[str]:
    """Event and tool, in short."""
    return [
        f"{type(event).__name__} {event.call.name}" if hasattr(event, "call") else type(event).__name__
        for event in events
    ]


def fail() -> None:
    """A handler that does."""
    raise OSError("no")


def test_a_batch_from_begin_to_end() -> None:
    """Every call has one start and one end, or a failure; refused ones have no start."""
    events: list[ToolEvent] = []
    run = turn(
        handler("a", lambda: 1),
        handler("bad", fail, on_error="inform"),
        handler("denied", int),
        on_event=events.append,
        approve=lambda asked, tool: Deny("no") if asked.name == "denied" else True,
    )
    results = run.run(calls("a", "denied", "bad", "nowhere"))
    assert names(events) == [
        "ToolBatchStarted",
        "ToolStarted a",
        "ToolEnded a",
        "ToolFailed denied",
        "ToolStarted bad",
        "ToolFailed bad",
        "ToolFailed nowhere",
        "ToolBatchEnded",
    ]
    started, ended, denied, bad, last = (events[at] for at in (0, 2, 3, 5, 7))
    assert isinstance(started, ToolBatchStarted)
    assert started.calls == tuple(calls("a", "denied", "bad", "nowhere"))
    assert isinstance(ended, ToolEnded)
    assert ended.result == ToolResult("a", "a", 1)
    assert ended.seconds >= 0
    assert isinstance(denied, ToolFailed)
    assert (denied.error, denied.seconds, denied.result) == ("no", 0.0, results[1])
    assert isinstance(bad, ToolFailed)
    assert (bad.error, bad.result) == ("OSError: no", results[2])
    assert isinstance(last, ToolBatchEnded)
    assert (last.results, last.error) == (results, None)


def test_a_batch_that_fails() -> None:
    """The failure has no result, as the model is told nothing; the batch ends with the error."""
    events: list[ToolEvent] = []
    with pytest.raises(ToolError) as caught:
        turn(handler("bad", fail), handler("a", int), on_event=events.append).run(calls("bad", "a"))
    assert names(events) == ["ToolBatchStarted", "ToolStarted bad", "ToolFailed bad", "ToolBatchEnded"]
    failed, last = events[2], events[3]
    assert isinstance(failed, ToolFailed)
    assert failed.result is None
    assert isinstance(last, ToolBatchEnded)
    assert (last.results, last.error) == ((), caught.value)


def test_starts_in_order_ends_as_they_come() -> None:
    """With several in flight."""
    events: list[ToolEvent] = []
    ended = threading.Event()

    def tell(event: ToolEvent) -> None:
        events.append(event)
        if isinstance(event, ToolEnded) and event.call.name == "second":
            ended.set()

    run = turn(
        handler("first", lambda: ended.wait(30)),
        handler("second", lambda: 2),
        on_event=tell,
        max_concurrent=2,
    )
    run.run(calls("first", "second"))
    assert names(events)[1:-1] == [
        "ToolStarted first",
        "ToolStarted second",
        "ToolEnded second",
        "ToolEnded first",
    ]


def test_events_come_in_the_waiting_thread() -> None:
    """Never two at once, never from a handler's thread."""
    threads: set[int] = set()
    run = turn(
        *(handler(name, int) for name in "abcd"),
        on_event=lambda event: threads.add(threading.get_ident()),
        max_concurrent=4,
    )
    run.run(calls(*"abcd"))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("at", [ToolBatchStarted, ToolStarted, ToolEnded, ToolBatchEnded])
def test_a_listener_that_fails_ends_the_batch(at: Any) -> None:
    """Its error is the caller's, and it is told nothing more."""
    events: list[ToolEvent] = []

    def tell(event: ToolEvent) -> None:
        events.append(event)
        if isinstance(event, at):
            raise LookupError("no room")

    with pytest.raises(LookupError):
        turn(handler("a", int), on_event=tell).run(calls("a"))
    assert isinstance(events[-1], at)


def test_cleaned_arguments_are_what_is_told() -> None:
    """The call as it was run."""
    events: list[ToolEvent] = []
    turn(handler("a", int), on_event=events.append).run([call("a", "1"), call("a", "2")])
    assert all(event.call.arguments == {} for event in events if isinstance(event, ToolStarted))
