"""The calls of one reply, being answered.

One thread waits and does all the bookkeeping; handlers run in threads of their own and report through a
queue.
"""

from __future__ import annotations

import contextvars
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from litertlm.errors import ToolError, ToolTimeout, error_text
from litertlm.messages import ToolCall, ToolResult
from litertlm.tools.cancel import CancelToken
from litertlm.tools.context import ToolContext
from litertlm.tools.declare import Tool
from litertlm.tools.events import (
    ToolBatchEnded,
    ToolBatchStarted,
    ToolEnded,
    ToolEvent,
    ToolFailed,
    ToolStarted,
)
from litertlm.tools.plan import Plan, Repeats
from litertlm.tools.settings import ToolSettings
from litertlm.tools.work import LONGEST_WAIT, Outcome, start_handler

__all__ = ["Batch"]


class _Turn(Protocol):
    """What a batch needs of the turn that it belongs to."""

    settings: ToolSettings
    token: CancelToken
    chat: Any
    deadline: float | None
    loop: Any
    repeats: Repeats

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if there is a reason to."""
        ...

    def answer(self, plan: Plan, value: Any) -> ToolResult:
        """A result as the model gets it."""
        ...

    def on_handler(self, call: ToolCall) -> None:
        """A handler starts; called in the context that it will see."""
        ...


@dataclass(frozen=True, slots=True)
class _Running:
    """A handler in flight; ``until`` is its own limit on the monotonic clock."""

    plan: Plan
    tool: Tool
    token: CancelToken
    started: float
    timeout: float | None

    @property
    def until(self) -> float | None:
        return None if self.timeout is None else self.started + self.timeout


class Batch:
    """Answers planned calls, once."""

    def __init__(self, turn: _Turn, plans: Sequence[Plan]) -> None:
        self._turn = turn
        self._plans = tuple(plans)
        self._calls = tuple(plan.call for plan in plans)
        self._token = CancelToken(turn.token)
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._waiting = deque(plans)
        self._running: dict[int, _Running] = {}
        self._results: dict[int, ToolResult] = {}
        self._happened: deque[ToolEvent] = deque()

    def steps(self) -> Generator[ToolEvent, None, tuple[ToolResult, ...]]:
        """What happens, as it happens; gives the results in the order of the plans.

        Raises what :meth:`ToolRun.run` says. Who stops reading gives the batch up.
        """
        started = time.monotonic()
        # Wakes the waiting thread up, however it is cancelled.
        self._token.add_callback(lambda: self._outcomes.put(None))
        try:
            self._happened.append(ToolBatchStarted(self._calls))
            yield from self._answer_all()
            results = tuple(self._results[plan.index] for plan in self._plans)
        except BaseException as error:
            self._token.cancel(f"the other calls of the reply were given up: {error_text(error)}")
            if not isinstance(error, GeneratorExit):  # else nobody listens
                yield from self._told()
                yield ToolBatchEnded(self._calls, time.monotonic() - started, error=error)
            raise
        finally:
            self._token.detach()
        yield ToolBatchEnded(self._calls, time.monotonic() - started, results)
        return results

    def _answer_all(self) -> Iterator[ToolEvent]:
        most = max(1, self._turn.settings.max_concurrent)
        repeated: list[Plan] = []
        yield from self._told()
        while self._waiting or self._running:
            while self._waiting and len(self._running) < most:
                plan = self._waiting.popleft()
                if plan.repeated and any(plan.key == other.plan.key for other in self._running.values()):
                    repeated.append(plan)  # what the first one returns is not known yet
                else:
                    yield from self._begin(plan)
            if self._running:
                self._wait()
                yield from self._told()
        for plan in repeated:
            yield from self._begin(plan)

    def _told(self) -> Iterator[ToolEvent]:
        """What has happened since the last time."""
        while self._happened:
            yield self._happened.popleft()

    def _begin(self, plan: Plan) -> Iterator[ToolEvent]:
        self._turn.check()
        tool = plan.tool
        if plan.repeated:
            answer = self._turn.repeats.answer(plan)
            self._fail(plan, 0.0, answer.pop("error"), **answer)
        elif plan.refusal is not None or tool is None or tool.handler is None or plan.arguments is None:
            self._fail(plan, 0.0, plan.refusal or "")
        else:
            yield ToolStarted(plan.call)
            timeout = self._turn.settings.timeout if tool.timeout is None else tool.timeout
            running = _Running(plan, tool, CancelToken(self._token), time.monotonic(), timeout)
            self._running[plan.index] = running
            arguments = dict(plan.arguments)
            if tool.context is not None:
                arguments[tool.context] = self._context(running)
            seen = contextvars.copy_context()
            seen.run(self._turn.on_handler, plan.call)
            start_handler(
                partial(tool.handler, **arguments),
                index=plan.index,
                name=tool.name,
                token=running.token,
                loop=self._turn.loop,
                outcomes=self._outcomes,
                context=seen,
            )
        yield from self._told()

    def _context(self, running: _Running) -> ToolContext:
        limits = [limit for limit in (running.until, self._turn.deadline) if limit is not None]
        return ToolContext(running.plan.call, running.token, self._turn.chat, min(limits, default=None))

    def _wait(self) -> None:
        """Until something happens: a handler ends, a limit passes, the turn is cancelled."""
        limits = [running.until for running in self._running.values()] + [self._turn.deadline]
        soonest = min((limit for limit in limits if limit is not None), default=None)
        wait = LONGEST_WAIT
        if soonest is not None:
            wait = min(wait, max(0.0, soonest - time.monotonic()))
        outcome = None
        with suppress(Empty):
            outcome = self._outcomes.get(timeout=wait)
        self._turn.token.raise_if_cancelled()
        if outcome is not None:
            self._take(outcome)
            return
        self._turn.check()
        now = time.monotonic()
        for running in list(self._running.values()):
            if running.until is not None and now >= running.until:
                self._time_out(running, now)

    def _take(self, outcome: Outcome) -> None:
        running = self._running.pop(outcome.index, None)
        if running is None:
            return  # it ended after its timeout
        running.token.detach()
        seconds = outcome.finished - running.started
        if outcome.error is None:
            result = self._turn.answer(running.plan, outcome.value)
            self._results[outcome.index] = result
            self._happened.append(ToolEnded(running.plan.call, seconds, result))
        elif not isinstance(outcome.error, Exception):
            raise outcome.error  # SystemExit and its like mean the whole program
        else:
            error = ToolError(running.tool.name, running.plan.call, outcome.error)
            self._apply_policy(running, seconds, error)

    def _time_out(self, running: _Running, now: float) -> None:
        del self._running[running.plan.index]
        running.token.cancel(f"the tool ran into its timeout of {running.timeout:g} s")
        running.token.detach()
        error = ToolTimeout(running.tool.name, running.plan.call, running.timeout or 0.0)
        self._apply_policy(running, now - running.started, error)

    def _apply_policy(self, running: _Running, seconds: float, error: ToolError) -> None:
        words = error_text(error.cause)
        if running.tool.on_error == "inform":
            self._fail(running.plan, seconds, words)
        else:
            self._happened.append(ToolFailed(running.plan.call, seconds, words))
            raise error

    def _fail(self, plan: Plan, seconds: float, words: str, **more: Any) -> None:
        # Half characters, as in the names of odd files, cannot be told.
        words = words.encode("utf-8", "backslashreplace").decode()
        result = self._results[plan.index] = self._turn.answer(plan, {"error": words, **more})
        self._happened.append(ToolFailed(plan.call, seconds, words, result))
