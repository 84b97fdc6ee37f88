"""Handlers in flight together, and the ways in which a batch ends early."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import pytest

from litertlm import Cancelled, CancelToken, DeadlineExceeded, ToolContext, ToolError
from litertlm.tools import ToolBatchEnded

from .calls import calls, handler, turn

FOREVER = threading.Event()


def test_handlers_run_at_the_same_time() -> None:
    """None of them returns before all have begun."""
    together = threading.Barrier(4)
    run = turn(*(handler(name, lambda: together.wait(30) >= 0) for name in "abcd"), max_concurrent=4)
    assert [result.result for result in run.run(calls(*"abcd"))] == [True] * 4


def test_results_keep_the_models_order() -> None:
    """Whatever finishes first: here the last begins the chain."""
    done = [threading.Event() for _ in range(4)]
    done[3].set()

    def after(at: int) -> Any:
        def run() -> int:
            assert done[at].wait(30)
            if at:
                done[at - 1].set()
            return at

        return run

    run = turn(*(handler(f"t{at}", after(at)) for at in range(4)), max_concurrent=4)
    assert [result.result for result in run.run(calls("t0", "t1", "t2", "t3"))] == [0, 1, 2, 3]


def test_no_more_in_flight_than_allowed() -> None:
    """Two at a time: pairs meet, and a third is never there."""
    lock, pair = threading.Lock(), threading.Barrier(2)
    now, most = 0, 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        pair.wait(30)
        with lock:
            now -= 1

    turn(*(handler(name, work) for name in "abcd"), max_concurrent=2).run(calls(*"abcd"))
    assert most <= 2


def test_the_first_failure_in_real_time_ends_the_batch() -> None:
    """Not the first in order: the second call fails, the first ignores that and is not waited for."""
    stopped = threading.Event()
    begun: list[str] = []

    def cooperative(context: ToolContext) -> None:
        context.cancel_token.wait()
        stopped.set()
        context.cancel_token.raise_if_cancelled()

    together = threading.Barrier(3)

    def stubborn() -> None:
        together.wait(30)
        FOREVER.wait()

    def failing() -> None:
        together.wait(30)
        raise OSError("first")

    def meets(context: ToolContext) -> None:
        together.wait(30)
        cooperative(context)

    run = turn(
        handler("stubborn", stubborn),
        handler("cooperative", meets),
        handler("failing", failing),
        handler("never", lambda: begun.append("never")),
        max_concurrent=3,
    )
    with pytest.raises(ToolError, match="first"):
        run.run(calls("stubborn", "cooperative", "failing", "never"))
    assert stopped.wait(30)
    assert not begun


def test_a_failure_that_is_told_leaves_the_siblings_alone() -> None:
    """Only policy "raise" ends a batch."""
    failed = threading.Event()

    def failing() -> None:
        failed.set()
        raise OSError("told")

    def sibling(context: ToolContext) -> bool:
        assert failed.wait(30)
        return context.cancel_token.cancelled

    run = turn(handler("failing", failing, on_error="inform"), handler("sibling", sibling), max_concurrent=2)
    assert [result.result for result in run.run(calls("failing", "sibling"))] == [
        {"error": "OSError: told"},
        False,
    ]


def test_cancelling_from_another_thread() -> None:
    """The waiting thread is woken, the handlers' tokens are set, with the reason."""
    token, begun, stopped = CancelToken(), threading.Event(), threading.Event()
    seen: list[str] = []

    def work(context: ToolContext) -> None:
        begun.set()
        context.cancel_token.wait()
        seen.append(context.cancel_token.reason)
        stopped.set()

    canceller = threading.Thread(target=lambda: begun.wait(30) and token.cancel("the user left"))
    canceller.start()
    with pytest.raises(Cancelled, match="the user left"):
        turn(handler("a", work), token=token).run(calls("a"))
    canceller.join()
    assert stopped.wait(30)
    assert seen == ["the user left"]


def test_a_cancelled_turn_runs_nothing() -> None:
    """Nor asks anybody."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        turn(handler("a", lambda: pytest.fail("ran")), token=token).run(calls("a"))


def test_the_deadline_ends_handlers_in_flight() -> None:
    """All at once."""
    stopped = threading.Barrier(3)

    def work(context: ToolContext) -> None:
        context.cancel_token.wait()
        stopped.wait(30)

    run = turn(handler("a", work), handler("b", work), max_concurrent=2, deadline=time.monotonic() + 0.05)
    with pytest.raises(DeadlineExceeded):
        run.run(calls("a", "b"))
    stopped.wait(30)


def test_ctrl_c_cancels_the_batch() -> None:
    """It reaches the waiting thread, and the handlers' tokens; the batch's last event tells it."""
    stopped = threading.Event()
    events: list[Any] = []

    def work(context: ToolContext) -> None:
        _thread.interrupt_main()
        context.cancel_token.wait()
        stopped.set()

    with pytest.raises(KeyboardInterrupt):
        turn(handler("a", work), on_event=events.append).run(calls("a"))
    assert stopped.wait(30)
    assert isinstance(events[-1], ToolBatchEnded)
    assert isinstance(events[-1].error, KeyboardInterrupt)


def test_a_token_that_lives_on_forgets_its_batches() -> None:
    """An application's own token is not filled by turns that ended well."""
    token = CancelToken()
    run = turn(handler("a", int), token=token, max_repeats=None)
    for _ in range(20):
        run.run(calls("a"))
    assert not token._callbacks
    token.cancel()


def test_a_result_that_comes_after_the_timeout_is_dropped() -> None:
    """The next call's result is its own."""
    release = threading.Event()

    def slow() -> str:
        release.wait(30)
        return "late"

    def following() -> str:
        release.set()
        return "mine"

    run = turn(
        handler("slow", slow, on_error="inform", timeout=0.05),
        handler("following", following),
        handler("last", lambda: "last"),
    )
    results = run.run(calls("slow", "following", "last"))
    assert [result.result for result in results[1:]] == ["mine", "last"]
    assert "TimeoutError" in results[0].result["error"]
