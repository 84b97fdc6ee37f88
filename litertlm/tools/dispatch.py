"""Answering the tool calls of one turn."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from litertlm.errors import DeadlineExceeded, OptionError
from litertlm.messages import ToolCall, ToolResult
from litertlm.tools.approval import Approval, Decision, decision_from
from litertlm.tools.batch import Batch
from litertlm.tools.cancel import CancelToken
from litertlm.tools.declare import Tool
from litertlm.tools.events import ToolEvent
from litertlm.tools.plan import Approve, Plan, Repeats, decide, plan_calls
from litertlm.tools.results import cap
from litertlm.tools.settings import ToolSettings
from litertlm.tools.toolset import Toolset
from litertlm.tools.work import LONGEST_WAIT, Outcome, start_handler

if TYPE_CHECKING:
    import asyncio

__all__ = ["ToolRun"]


class ToolRun:
    """Runs the tools of one turn; made for each turn, :meth:`run` once for each reply that calls tools.

    Args:
        toolset: The chat's tools.
        settings: How they are run.
        token: Cancelling it ends a batch at once, with Cancelled; None: nobody cancels.
        chat: Given to handlers as ``context.chat``.
        deadline: Until when everything has to be done, in seconds of ``time.monotonic()``; None: no limit.
        turn_timeout: The turn's limit in seconds, for the message when the deadline passes; None: counted
            from now.
        approve: Asked about every call that fits its tool, before any call of the batch is run. It may be
            async. It gets the call as it would be run: with cleaned arguments.
        count_tokens: Tokens of a text; required by ``settings.max_result_tokens``. Called in the
            waiting thread.
        on_event: Gets the :mod:`~litertlm.tools.events`, in the waiting thread; what it raises ends the
            batch.
        loop: Where async handlers run; it runs in another thread than :meth:`run`. None: each on its own.
        on_handler: Called with the call right before its handler starts, in the context (of
            :mod:`contextvars`) that the handler will see.

    Raises:
        OptionError: Results are to be capped, and nobody can count tokens.

    Threads: one at a time; the token may be cancelled from any.
    """

    def __init__(
        self,
        toolset: Toolset,
        settings: ToolSettings | None = None,
        *,
        token: CancelToken | None = None,
        chat: Any = None,
        deadline: float | None = None,
        turn_timeout: float | None = None,
        approve: Approve | None = None,
        count_tokens: Callable[[str], int] | None = None,
        on_event: Callable[[ToolEvent], object] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        on_handler: Callable[[ToolCall], object] | None = None,
    ) -> None:
        self.toolset = toolset
        self.settings = settings or ToolSettings()
        self.token = token or CancelToken()
        self.chat = chat
        self.deadline = deadline
        self.loop = loop
        self.repeats = Repeats(self.settings.max_repeats)
        self._approve = approve
        self._count_tokens = count_tokens
        self._on_event = on_event
        self._on_handler = on_handler
        if turn_timeout is None and deadline is not None:
            turn_timeout = max(0.0, deadline - time.monotonic())
        self._turn_timeout = turn_timeout or 0.0
        if self.settings.max_result_tokens is not None and count_tokens is None:
            raise OptionError("max_result_tokens needs count_tokens")

    def run(
        self, calls: Iterable[ToolCall], *, decisions: Mapping[str, Approval] | None = None
    ) -> tuple[ToolResult, ...]:
        """Answer the calls of one reply.

        Events go to ``on_event``.

        Args:
            calls: In the model's order.
            decisions: What was decided before about some of them, by call id; these are not asked about
                again.

        Returns:
            A result for every call, in the same order. A call that does not fit its tool, was denied or
            comes too often is answered with ``{"error": ...}``, and so is a failing one whose tool informs
            the model.

        Raises:
            ToolError: A handler failed, and its tool raises. The other handlers are asked to stop and not
                waited for.
            ToolTimeout: Likewise, it ran into its timeout.
            Cancelled: The token was cancelled.
            DeadlineExceeded: The deadline has passed.
            ToolsPaused: Approval paused a call; nothing was run.
        """
        steps = self.steps(calls, decisions=decisions)
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                results: tuple[ToolResult, ...] = end.value
                return results
            try:
                if self._on_event is not None:
                    self._on_event(event)
            except BaseException:
                steps.close()
                raise

    def steps(
        self, calls: Iterable[ToolCall], *, decisions: Mapping[str, Approval] | None = None
    ) -> Generator[ToolEvent, None, tuple[ToolResult, ...]]:
        """As :meth:`run`, for a reader who wants the events one by one; the generator returns the results.

        Closing it gives the batch up.
        """
        asked = tuple(calls)
        self._refuse_own_loop()
        self.check()
        known = {
            call: decision_from(answer, said_by="decisions") for call, answer in (decisions or {}).items()
        }
        ask = None if self._approve is None else self._ask
        plans = decide(plan_calls(asked, self.toolset, self.repeats), asked, ask, known)
        self.check()
        self.repeats.count(plans)
        return (yield from Batch(self, plans).steps())

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if there is a reason to."""
        self.token.raise_if_cancelled()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded(self._turn_timeout)

    def answer(self, plan: Plan, value: Any) -> ToolResult:
        """A result as the model gets it, and as a repeated call is answered."""
        most = self.settings.max_result_tokens
        if most is not None and self._count_tokens is not None:
            value = cap(value, most, self._count_tokens)
        if not plan.repeated:
            self.repeats.remember(plan.key, value)
        return ToolResult(plan.call.id, plan.call.name, value)

    def on_handler(self, call: ToolCall) -> None:
        """A handler starts; called in the context that it will see."""
        if self._on_handler is not None:
            self._on_handler(call)

    def _ask(self, call: ToolCall, tool: Tool) -> Decision:
        self.check()
        assert self._approve is not None
        answer: Any = self._approve(call, tool)
        return decision_from(self._awaited(answer) if inspect.isawaitable(answer) else answer)

    def _awaited(self, answer: Any) -> Any:
        """What an async approval says; it runs where async handlers do."""
        token = CancelToken(self.token)
        outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        token.add_callback(lambda: outcomes.put(None))
        start_handler(
            lambda: answer,
            index=0,
            name="approval",
            token=token,
            loop=self.loop,
            outcomes=outcomes,
            convert=lambda said: said,
        )
        try:
            while True:
                outcome = None
                with suppress(Empty):
                    outcome = outcomes.get(timeout=LONGEST_WAIT)
                self.check()
                if outcome is not None:
                    if outcome.error is not None:
                        raise outcome.error
                    return outcome.value
        except BaseException:
            token.cancel("the approval is not waited for any more")
            raise
        finally:
            token.detach()

    def _refuse_own_loop(self) -> None:
        if self.loop is None:
            return
        import asyncio

        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if running is self.loop:
            raise RuntimeError("ToolRun.run would block the loop that its async handlers need")
