"""The application decides which calls run, before any does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from litertlm import (
    Allow,
    Cancelled,
    CancelToken,
    DeadlineExceeded,
    Deny,
    OptionError,
    Pause,
    Tool,
    ToolCall,
)
from litertlm.tools import ToolsPaused

from .calls import call, calls, handler, turn


def test_everything_is_asked_before_anything_runs() -> None:
    """In the model's order, with the call and its tool."""
    said: list[str] = []

    def approve(asked: ToolCall, tool: Tool) -> Allow:
        said.append(f"ask {asked.name} {tool.name}")
        return Allow()

    turn(*(handler(name, lambda name=name: said.append(name)) for name in "ab"), approve=approve).run(
        calls("b", "a")
    )
    assert said == ["ask b b", "ask a a", "b", "a"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (True, 1),
        (Allow(), 1),
        (Deny("not on Sundays"), {"error": "not on Sundays"}),
        (False, {"error": Deny().message}),
    ],
    ids=str,
)
def test_allow_and_deny(answer: Any, told: Any) -> None:
    """What the model gets."""
    (result,) = turn(handler("a", lambda: 1), approve=lambda asked, tool: answer).run(calls("a"))
    assert result.result == told


def test_a_denied_call_does_not_stop_the_others() -> None:
    """They run."""
    run = turn(
        handler("a", lambda: 1), handler("b", lambda: 2), approve=lambda asked, tool: asked.name == "b"
    )
    denied, ran = run.run(calls("a", "b"))
    assert "error" in denied.result
    assert ran.result == 2


def test_pausing_runs_nothing_and_can_be_taken_up() -> None:
    """What was decided is not asked again, and the pause is not counted as a call."""
    ran: list[str] = []
    asked: list[str] = []

    def approve(one: ToolCall, tool: Tool) -> Allow | Pause:
        asked.append(one.name)
        return Pause("ask the boss") if one.name == "b" else Allow()

    run = turn(
        *(handler(name, lambda name=name: ran.append(name)) for name in "abc"),
        approve=approve,
        max_repeats=2,
    )
    batch = calls("a", "b", "c")
    with pytest.raises(ToolsPaused) as paused:
        run.run(batch)
    assert not ran
    assert paused.value.calls == tuple(batch)
    assert paused.value.pending == {"b": Pause("ask the boss")}
    assert paused.value.decisions == {"a": Allow(), "c": Allow()}
    results = run.run(batch, decisions={**paused.value.decisions, "b": Deny("the boss said no")})
    assert ran == ["a", "c"]
    assert results[1].result == {"error": "the boss said no"}
    assert asked == ["a", "b", "c"]


def test_calls_that_will_not_run_are_not_asked_about() -> None:
    """Unknown, not fitting, repeated."""
    asked: list[str] = []
    tool = Tool("a", "", {"type": "object", "properties": {"n": {"type": "integer"}}}, lambda n=0: n)
    run = turn(tool, approve=lambda one, tool: asked.append(one.id) or True, max_repeats=2)
    run.run([call("a", "1", n=1), call("a", "2", n=1), call("a", "3", n="x"), call("nowhere", "4")])
    assert asked == ["1"]


def test_the_call_is_asked_about_as_it_will_run() -> None:
    """A marker that is stripped cannot hide anything from whoever decides."""
    asked: list[Any] = []
    tool = Tool("open", "", {"type": "object", "properties": {"path": {"type": "string"}}}, lambda path: path)
    run = turn(tool, approve=lambda one, tool: asked.append(one.arguments["path"]) or True)
    (result,) = run.run([call("open", path='.<|"|>./secret')])
    assert asked == ["../secret"] == [result.result]


@pytest.mark.parametrize("answer", [None, "yes", 1, Allow], ids=str)
def test_an_answer_that_says_nothing_allows_nothing(answer: Any) -> None:
    """A forgotten return is not consent."""
    with pytest.raises(OptionError, match="approve answered"):
        turn(handler("a", lambda: pytest.fail("ran")), approve=lambda one, tool: answer).run(calls("a"))


def test_what_approval_raises_is_the_callers() -> None:
    """And nothing has run."""

    def approve(one: ToolCall, tool: Tool) -> bool:
        raise LookupError("no such user")

    with pytest.raises(LookupError):
        turn(handler("a", lambda: pytest.fail("ran")), approve=approve).run(calls("a"))


def test_approval_may_be_async() -> None:
    """It runs as async handlers do."""

    async def approve(one: ToolCall, tool: Tool) -> Deny:
        await asyncio.sleep(0)
        return Deny(f"{one.name}: no")

    (result,) = turn(handler("a", lambda: 1), approve=approve).run(calls("a"))
    assert result.result == {"error": "a: no"}


async def never(one: ToolCall, tool: Tool) -> bool:
    """Somebody who has left."""
    await asyncio.Event().wait()
    return True


def test_async_approval_ends_with_the_turn() -> None:
    """At its deadline, or when it is cancelled."""
    with pytest.raises(DeadlineExceeded):
        turn(handler("a", int), approve=never, deadline=time.monotonic() + 0.05).run(calls("a"))
    token = CancelToken()

    async def leave(one: ToolCall, tool: Tool) -> bool:
        token.cancel("gone")
        return await never(one, tool)

    with pytest.raises(Cancelled, match="gone"):
        turn(handler("a", int), approve=leave, token=token).run(calls("a"))
