"""The calls of a reply are answered in order, by policy, and never more than is wanted."""

from __future__ import annotations

import contextvars
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from litertlm import (
    CancelToken,
    DeadlineExceeded,
    OptionError,
    Tool,
    ToolCall,
    ToolContext,
    ToolError,
    ToolTimeout,
    tool,
)
from litertlm.tools import ToolRun, Toolset, ToolSettings

from .calls import call, calls, handler, turn

FOREVER = threading.Event()


def failing(message: str = "out of paper") -> Any:
    """A handler that fails."""

    def fail() -> None:
        raise OSError(message)

    return fail


def test_results_come_in_the_models_order() -> None:
    """With the calls' ids and names."""

    @tool
    def double(n: int) -> int:
        return 2 * n

    results = turn(double).run([call("double", "a", n=1), call("double", "b", n="2")])
    assert [(result.call_id, result.name, result.result) for result in results] == [
        ("a", "double", 2),
        ("b", "double", 4),
    ]


def test_sequential_by_default() -> None:
    """A handler begins when the one before it has ended."""
    said: list[str] = []

    def speak(name: str) -> Any:
        def run() -> None:
            said.append(f"{name} begins")
            said.append(f"{name} ends")

        return run

    turn(*(handler(name, speak(name)) for name in "abc")).run(calls("c", "a", "b"))
    assert said == [f"{name} {what}" for name in "cab" for what in ("begins", "ends")]


def test_can_run_needs_a_handler_for_every_call() -> None:
    """An unknown name or a tool without handler makes the whole reply the application's."""
    tools = Toolset([handler("a", int), Tool("manual")])
    assert tools.can_run(calls("a", "a"))
    assert not tools.can_run(calls("a", "manual"))
    assert not tools.can_run(calls("a", "nowhere"))
    assert not tools.can_run([])


def test_calls_that_nothing_can_run_are_told_to_the_model() -> None:
    """It learns which tools there are."""
    unknown, manual = turn(handler("a", int), Tool("manual")).run(calls("nowhere", "manual"))
    assert unknown.result == {"error": "There is no tool 'nowhere'. The tools are: 'a', 'manual'."}
    assert manual.result == {"error": "Tool 'manual' cannot be run here."}


def test_none_is_null() -> None:
    """A handler without a return value has a result all the same."""
    (result,) = turn(handler("a", lambda: None)).run(calls("a"))
    assert result.result is None


def test_a_failing_handler_raises() -> None:
    """With the tool, the call and the cause; the calls after it are not begun."""
    begun: list[int] = []
    run = turn(handler("bad", failing()), handler("next", lambda: begun.append(1)))
    with pytest.raises(ToolError, match="Tool 'bad' failed: OSError: out of paper") as caught:
        run.run(calls("bad", "next"))
    assert caught.value.tool == "bad"
    assert caught.value.call == call("bad")
    assert caught.value.cause is caught.value.__cause__
    assert isinstance(caught.value.cause, OSError)
    assert not begun


def test_a_tool_may_inform_the_model_instead() -> None:
    """And the turn goes on."""
    bad, good = turn(handler("bad", failing(), on_error="inform"), handler("good", lambda: 1)).run(
        calls("bad", "good")
    )
    assert bad.result == {"error": "OSError: out of paper"}
    assert good.result == 1


@pytest.mark.parametrize("on_error", ["raise", "inform"])
def test_a_result_that_json_cannot_say_is_a_failure(on_error: Any) -> None:
    """By the same policy."""
    run = turn(handler("bad", lambda: {"x": float("nan")}, on_error=on_error))
    if on_error == "raise":
        with pytest.raises(ToolError, match=r"the result\['x'\] is nan"):
            run.run(calls("bad"))
    else:
        assert "the result['x'] is nan" in run.run(calls("bad"))[0].result["error"]


def test_an_error_whose_text_fails() -> None:
    """Is told by its type."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail() -> None:
        raise Mute

    (result,) = turn(handler("bad", fail, on_error="inform")).run(calls("bad"))
    assert result.result == {"error": "Mute"}


def test_an_error_with_half_a_character() -> None:
    """As the name of an odd file has: what the model is told can be sent."""
    (result,) = turn(handler("bad", failing("no file \udc80"), on_error="inform")).run(calls("bad"))
    assert result.result == {"error": "OSError: no file \\udc80"}


class Unpicklable(Exception):
    """Holds a lock."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    "error",
    [
        ToolError("a", call("a", n=1), OSError("out of paper")),
        ToolError("a", call("a"), Unpicklable()),
        ToolTimeout("a", call("a"), 1.5),
    ],
    ids=["plain", "unpicklable cause", "timeout"],
)
def test_tool_errors_can_be_pickled(error: ToolError) -> None:
    """Also when their cause cannot."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.tool == error.tool
    assert again.call == error.call
    assert again.__cause__ is again.cause
    assert str(again).endswith(str(error.cause))


def test_system_exit_in_a_handler_is_the_programs() -> None:
    """Whatever the policy."""

    def leave() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit):
        turn(handler("bad", leave, on_error="inform")).run(calls("bad"))


def test_a_timeout_raises() -> None:
    """The handler is asked to stop and not waited for."""
    tokens: list[CancelToken] = []

    def slow(context: ToolContext) -> None:
        tokens.append(context.cancel_token)
        assert context.deadline is not None
        FOREVER.wait()

    with pytest.raises(ToolTimeout, match=r"no result within 0.05 s") as caught:
        turn(handler("slow", slow), timeout=0.05).run(calls("slow"))
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout == 0.05
    assert tokens[0].wait(10)


def test_a_tools_own_timeout_comes_first_and_follows_its_policy() -> None:
    """The next call is run."""
    slow = handler("slow", FOREVER.wait, on_error="inform", timeout=0.05)
    results = turn(slow, handler("next", lambda: 1), timeout=1000).run(calls("slow", "next"))
    assert [result.result for result in results] == [{"error": "TimeoutError: no result within 0.05 s"}, 1]


def test_the_deadline_ends_the_batch() -> None:
    """With the turn's timeout in its message; a passed deadline runs nothing."""
    run = turn(handler("slow", FOREVER.wait), deadline=time.monotonic() + 0.05, turn_timeout=7)
    with pytest.raises(DeadlineExceeded, match="7 s"):
        run.run(calls("slow"))
    begun: list[int] = []
    with pytest.raises(DeadlineExceeded):
        turn(handler("a", lambda: begun.append(1)), deadline=time.monotonic() - 1).run(calls("a"))
    assert not begun


def test_a_handler_sees_the_context_variables_of_its_caller() -> None:
    """Request ids and the like; what it sets stays its own."""
    request = contextvars.ContextVar("request", default="none")

    def look() -> str:
        before = request.get()
        request.set("changed")
        return before

    token = request.set("r1")
    try:
        results = turn(handler("look", look)).run([call("look", "1"), call("look", "2")])
        assert [result.result for result in results] == ["r1", "r1"]
        assert request.get() == "r1"
    finally:
        request.reset(token)


def test_a_handler_gets_its_context() -> None:
    """The cleaned call, the chat, the deadline; by type, whatever the parameter's name."""
    got: list[ToolContext] = []

    @tool
    def look(city: str, about: ToolContext) -> None:
        got.append(about)

    raw = Tool("raw", "", look.parameters, lambda city: None)

    def by_hand(city: str, context: ToolContext) -> None:
        got.append(context)

    raw = Tool("raw", "", look.parameters, by_hand)
    deadline = time.monotonic() + 100
    turn(look, raw, chat="the chat", deadline=deadline).run(
        [call("look", city='<|"|>Rome'), call("raw", city="Bonn")]
    )
    assert [context.call for context in got] == [call("look", city="Rome"), call("raw", city="Bonn")]
    assert {context.chat for context in got} == {"the chat"}
    assert {context.deadline for context in got} == {deadline}
    assert 0 < (got[0].remaining or 0) <= 100
    assert not got[0].cancel_token.cancelled


def test_what_the_model_writes_cannot_take_the_contexts_place() -> None:
    """The parameter is no argument."""

    @tool
    def look(context: ToolContext) -> str:
        return type(context).__name__

    (result,) = turn(look).run([call("look", context={"chat": 1})])
    assert "no argument 'context'" in result.result["error"]


def test_the_third_equal_call_is_not_run() -> None:
    """It is told what the tool returned; other arguments run. Over all batches of the turn."""
    count: list[str] = []

    @tool
    def search(text: str, page: int = 1) -> str:
        count.append(text)
        return f"result {len(count)}"

    run = turn(search)
    run.run([call("search", text="a", page=1)])
    second = run.run([call("search", page=1.0, text="a")])
    third = run.run([call("search", text="a", page=1)])
    other = run.run([call("search", text="b", page=1)])
    assert [second[0].result, other[0].result] == ["result 2", "result 3"]
    assert third[0].result == {
        "error": "search has already been called with these arguments. "
        "Use what it returned, or do something else.",
        "returned": "result 2",
    }
    assert run.run([call("search", text="a", page=1)])[0].result == third[0].result
    assert count == ["a", "a", "b"]


@pytest.mark.parametrize("max_concurrent", [1, 4])
def test_equal_calls_in_one_batch(max_concurrent: int) -> None:
    """The third waits for what the others return."""
    run = turn(handler("a", lambda: 7), max_concurrent=max_concurrent)
    results = run.run([call("a", call_id) for call_id in "123"])
    assert [result.result for result in results[:2]] == [7, 7]
    assert results[2].result["returned"] == 7


def test_repeats_can_be_allowed() -> None:
    """None: every call is run."""
    run = turn(handler("poll", lambda: 1), max_repeats=None)
    assert [run.run(calls("poll"))[0].result for _ in range(5)] == [1] * 5


def test_long_results_are_cut() -> None:
    """Errors too."""

    def words(text: str) -> int:
        return len(text) // 4

    run = turn(
        handler("long", lambda: "x" * 4000),
        handler("bad", failing("y" * 4000), on_error="inform"),
        max_result_tokens=60,
        count_tokens=words,
    )
    for result in run.run(calls("long", "bad")):
        assert result.result["truncated"] is True
    with pytest.raises(OptionError, match="count_tokens"):
        turn(max_result_tokens=60)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"max_result_tokens": 0},
        {"max_repeats": 1},
        {"max_concurrent": 1.5},
        {"max_concurrent": True},
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    """Where they enter."""
    with pytest.raises(OptionError):
        ToolSettings(**settings)


def test_a_turn_can_go_on_after_a_failure() -> None:
    """Nothing of the failed batch is left."""
    run = turn(handler("bad", failing()), handler("good", lambda: 1))
    with pytest.raises(ToolError):
        run.run(calls("bad"))
    assert run.run(calls("good"))[0].result == 1


def test_a_hanging_handler_does_not_keep_the_interpreter() -> None:
    """Its thread is a daemon."""
    program = """
import threading
from litertlm import Tool, ToolCall, ToolTimeout
from litertlm.tools import ToolRun, ToolSettings, Toolset
tool = Tool("hang", "", {"type": "object", "properties": {}}, threading.Event().wait)
try:
    ToolRun(Toolset([tool]), ToolSettings(timeout=0.05)).run([ToolCall("1", "hang")])
except ToolTimeout:
    print("left")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "left", "")


def test_a_written_tool_needs_nothing_heavy() -> None:
    """Pydantic is for functions, asyncio for coroutines."""
    program = """
import sys
from litertlm import Tool, ToolCall
from litertlm.tools import ToolRun, Toolset
schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
turn = ToolRun(Toolset([Tool("f", "", schema, lambda n: {"n": n})]))
print(turn.run([ToolCall("1", "f", {"n": "3"})])[0].result)
print([name for name in ("pydantic", "asyncio", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["{'n': 3}", "[]"], done.stderr


def test_a_handler_may_run_tools_of_its_own() -> None:
    """As one that sends to another chat does."""
    inner = turn(handler("inner", lambda: "deep"))
    outer = turn(handler("outer", lambda: inner.run(calls("inner"))[0].result))
    assert outer.run(calls("outer"))[0].result == "deep"


def test_handlers_run_beside_the_waiting_thread() -> None:
    """So an object bound to its thread must be made in the handler."""
    database = sqlite3.connect(":memory:")
    try:
        (result,) = turn(
            handler("ask", lambda: database.execute("select 1").fetchone(), on_error="inform")
        ).run(calls("ask"))
        assert "ProgrammingError" in result.result["error"]
    finally:
        database.close()


def test_calls_with_odd_names_or_arguments() -> None:
    """Whatever a parser hands over."""
    odd: Any = [ToolCall("1", 7, {}), ToolCall("2", "a", 7), ToolCall("3", "", None)]  # type: ignore[arg-type]
    results = ToolRun(Toolset([handler("a", int)])).run(odd)
    assert all("error" in result.result for result in results)
