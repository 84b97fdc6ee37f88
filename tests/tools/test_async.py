"""Async handlers run on a loop of their own, or on the one that they are given."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from litertlm import Cancelled, CancelToken, ToolContext, ToolError, ToolTimeout, tool

from .calls import call, calls, handler, turn


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own, as an application's does."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def test_an_async_handler() -> None:
    """Its result is awaited."""

    @tool
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    (result,) = turn(double).run([call("double", n=4)])
    assert result.result == 8


def test_a_function_that_returns_a_coroutine() -> None:
    """Is awaited too: what counts is what it gives back."""

    async def inner() -> str:
        return "done"

    (result,) = turn(handler("a", lambda: inner())).run(calls("a"))
    assert result.result == "done"


def test_on_the_applications_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Where its connections live; several at once."""
    meeting: list[asyncio.Event] = []

    async def first() -> bool:
        meeting.append(asyncio.Event())
        await meeting[0].wait()
        return asyncio.get_running_loop() is loop

    async def second() -> bool:
        while not meeting:
            await asyncio.sleep(0)
        meeting[0].set()
        return asyncio.get_running_loop() is loop

    run = turn(handler("first", first), handler("second", second), loop=loop, max_concurrent=2)
    assert [result.result for result in run.run(calls("first", "second"))] == [True, True]


@pytest.mark.parametrize("own", [True, False], ids=["own loop", "given loop"])
def test_a_timeout_cancels_the_task(own: bool, loop: asyncio.AbstractEventLoop) -> None:
    """The coroutine can clean up."""
    cleaned = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    with pytest.raises(ToolTimeout):
        turn(handler("slow", slow), timeout=0.05, loop=None if own else loop).run(calls("slow"))
    assert cleaned.wait(30)


def test_a_failing_sibling_cancels_the_task(loop: asyncio.AbstractEventLoop) -> None:
    """As soon as the batch is over."""
    begun, cleaned = threading.Event(), threading.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    def failing() -> None:
        assert begun.wait(30)
        raise OSError("first")

    run = turn(handler("slow", slow), handler("failing", failing), loop=loop, max_concurrent=2)
    with pytest.raises(ToolError, match="first"):
        run.run(calls("slow", "failing"))
    assert cleaned.wait(30)


def test_cancelling_the_turn_cancels_the_task() -> None:
    """From inside, here: through its own context."""
    token = CancelToken()

    async def work(context: ToolContext) -> None:
        token.cancel("enough")
        await asyncio.Event().wait()

    with pytest.raises(Cancelled, match="enough"):
        turn(handler("a", work), token=token).run(calls("a"))


def test_a_handler_that_cancels_itself_has_failed() -> None:
    """By its policy, like any failure."""

    async def give_up() -> None:
        raise asyncio.CancelledError

    (result,) = turn(handler("a", give_up, on_error="inform")).run(calls("a"))
    assert result.result["error"].startswith("Cancelled")


@pytest.mark.parametrize("own", [True, False], ids=["own loop", "given loop"])
def test_context_variables_reach_coroutines(own: bool, loop: asyncio.AbstractEventLoop) -> None:
    """On either loop."""
    request = contextvars.ContextVar("request", default="none")

    async def look() -> str:
        return request.get()

    token = request.set("r1")
    try:
        (result,) = turn(handler("look", look), loop=None if own else loop).run(calls("look"))
    finally:
        request.reset(token)
    assert result.result == "r1"


def test_a_closed_loop_is_a_failure_of_the_call() -> None:
    """And leaves no coroutine behind."""
    closed = asyncio.new_event_loop()
    closed.close()

    async def work() -> None: ...

    with pytest.raises(ToolError, match="closed"):
        turn(handler("a", work), loop=closed).run(calls("a"))


def test_blocking_the_loop_that_handlers_need_is_refused() -> None:
    """It would wait for itself for ever."""

    async def main() -> Any:
        return turn(handler("a", int), loop=asyncio.get_running_loop()).run(calls("a"))

    with pytest.raises(RuntimeError, match="block the loop"):
        asyncio.run(main())


def test_inside_a_running_loop_without_giving_it() -> None:
    """A sync turn in an async program: handlers have loops of their own."""

    async def work() -> int:
        return 1

    async def main() -> Any:
        return turn(handler("a", work)).run(calls("a"))

    assert asyncio.run(main())[0].result == 1
