"""A turn of the fake engine.

Nothing runs in the background. A turn is planned when it starts, and every ``take`` delivers the next chunk.
For the engine's queue it is over as soon as no gate and no delay stands before its end, so that, as with a
real engine, a slow reader keeps nobody waiting: the next in line settles for it.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from litertlm._engine.seam import Delta, TurnEnd
from litertlm.errors import (
    Cancelled,
    ClosedError,
    ContextOverflow,
    DeadlineExceeded,
    LiteRTLMError,
)
from litertlm.messages import Message, Text, Timings
from litertlm.testing.machine import Machine
from litertlm.testing.plan import Plan, make_plan
from litertlm.testing.records import Outcome, TurnRecord
from litertlm.testing.script import ContractError, FakeReply, Gate, ScriptError, chunk_number

__all__ = ["FakeTurn", "Prompt", "Stage"]

# Longest wait without a look at the interpreter, so that Ctrl-C is noticed on every platform.
SLICE_SECONDS = 0.1
# What a take that may not wait costs when time is not real.
TICK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a turn prefills: its tokens, and those of them that media take."""

    tokens: int
    image_tokens: int = 0
    audio_tokens: int = 0


class Stage:
    """Where a turn takes place: nowhere, as for a completion. A conversation is a stage of its own."""

    @property
    def token_count(self) -> int:
        """Tokens before the turn."""
        return 0

    def begin(self, turn: FakeTurn) -> None:
        """A turn starts; the lock is held."""

    def ended_well(self, answer: Message, token_count: int, cut: bool) -> None:
        """It has ended well; the lock is held."""

    def ended_badly(self) -> None:
        """It has failed or was left; the lock is held."""

    def did_not_begin(self) -> None:
        """It could not start; the lock is held."""

    def new_call_id(self) -> Callable[[], str]:
        """Names the tool calls of one turn."""
        numbers = itertools.count(1)
        return lambda: f"call_{next(numbers)}"


class FakeTurn:
    """Implements :class:`litertlm._engine.seam.Turn`.

    Args:
        machine: The engine.
        stage: Where it takes place.
        prompt: What it prefills.
        record: What will be remembered of it.
    """

    def __init__(self, machine: Machine, stage: Stage, prompt: Prompt, record: TurnRecord) -> None:
        self._machine = machine
        self._stage = stage
        self._prompt = prompt
        self._record = record
        self._place = -1
        self._before = stage.token_count
        self._cancelled = self._closed = False
        self._reply = FakeReply()
        self._plan: Plan | None = None
        self._gates: list[tuple[int, Gate]] = []
        # How many steps have been delivered, and when, in seconds since the start.
        self._taken = 0
        self._began = self._queued = self._passed = self._first = 0.0
        # How much of the next step's delay has passed already, in takes that came back empty.
        self._waited = 0.0
        self._settled: TurnEnd | None = None
        self._end: TurnEnd | None = None

    @property
    def message(self) -> Message:
        """What is sent; a completion sends none."""
        return self._record.messages[-1]

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""
        return self._end

    def start(self) -> None:
        """Wait for the engine, and plan the turn."""
        machine, timeout = self._machine, self._record.options.timeout
        patience = machine.settings.patience
        self._began = time.monotonic()
        try:
            most = patience if timeout is None else min(timeout, patience)
            self._queued = machine.queue.enter(self, most, check=self._check_cancelled)
        except TimeoutError:
            if timeout is not None and timeout <= patience:
                raise DeadlineExceeded(timeout) from None
            raise ScriptError(
                f"A turn waited {patience:g} s for another one, which a gate holds or a delay keeps. "
                "Release the gate from another thread, or read the other turn to its end first."
            ) from None
        try:
            self._begin()
        except BaseException:
            machine.queue.leave(self)
            raise

    def take(self, timeout: float | None) -> Sequence[Delta]:
        """The next chunk; what has come since the last take is never more."""
        with self._machine.changed:
            deltas = self._advance(None if timeout is None else time.monotonic() + timeout)
            over = self._end is not None
        if over:
            self._machine.queue.leave(self)
        return deltas

    def cancel(self) -> None:
        """Stop it at the next take, which does not wait any more. Any thread, any time."""
        with self._machine.changed:
            self._cancelled = True
            self._machine.changed.notify_all()

    def close(self) -> None:
        """Leave it. Idempotent."""
        with self._machine.changed:
            if not self._closed:
                self._closed = True
                if self._plan is not None and self._settled is None and self._end is None:
                    self._stage.ended_badly()
                    self._machine.amend(self._place, outcome="left")
                self._machine.changed.notify_all()
        self._machine.queue.leave(self)

    def settle_if_over(self) -> bool:
        """Whether nothing stands before the end any more; as the queue asks it."""
        # The queue's lock is held: waiting for the other one here could be waiting for each other.
        if not self._machine.changed.acquire(blocking=False):
            return False
        try:
            if self._settled is None and self._end is None and not self._closed:
                if self._plan is None or not self._is_free(self._plan):
                    return False
                if self._cancelled:
                    self._finish(Cancelled("The turn was cancelled"))
                elif self._plan.error is None or isinstance(self._plan.error, LiteRTLMError):
                    self._settled = self._settle(self._plan.error, len(self._plan.steps))
                # Any other error is for its reader alone, who has yet to come to it.
        finally:
            self._machine.changed.release()
        self._machine.queue.leave(self)
        return True

    def _check_cancelled(self) -> None:
        """Raises Cancelled if nobody wants it any more; the queue's lock is held."""
        if self._cancelled:
            raise Cancelled("The turn was cancelled")

    def _begin(self) -> None:
        """Plan it, or raise what keeps it from beginning."""
        machine, record = self._machine, self._record
        limit = machine.settings.context
        with machine.changed:
            machine.check_open()
            if self._closed or self._plan is not None:
                raise ContractError("A turn was started that was started or closed before")
            self._stage.begin(self)
            self._place = machine.record(record)
        try:
            # One token must be left for the answer.
            if self._before + self._prompt.tokens >= limit:
                raise ContextOverflow(self._before, self._prompt.tokens, limit)
            gates: list[Gate] = []
            if not self._cancelled:
                messages = record.messages or (Message("user", (Text(record.prompt),)),)
                self._reply, gates = machine.next_reply(messages, record.options)
                if self._reply.error is not None and self._reply.error_at == "start":
                    raise self._reply.error
            plan = make_plan(
                self._reply,
                record.options,
                room=limit - self._before - self._prompt.tokens,
                thinking=record.thinking,
                tokenizer=machine.tokenizer,
                new_call_id=self._stage.new_call_id(),
            )
        except BaseException as error:
            with machine.changed:
                self._stage.did_not_begin()
                machine.amend(self._place, outcome="refused", error=error)
            raise
        with machine.changed:
            self._plan = plan
            steps = len(plan.steps)
            self._gates = [
                (chunk_number(gate.place, steps), gate) for gate in gates if gate.place is not None
            ]
            self._arrive()

    def _advance(self, until: float | None) -> Sequence[Delta]:
        """The next chunk, or none: at the time ``until``, or at the end."""
        patient_until = time.monotonic() + self._machine.settings.patience
        while self._end is None:
            self._machine.check_open()
            if self._closed or self._plan is None:
                raise ClosedError("The turn is closed" if self._closed else "The turn has not begun")
            if self._settled is not None:
                return self._step(self._plan)
            if self._cancelled:
                self._finish(Cancelled("The turn was cancelled"))
                break
            timeout = self._record.options.timeout
            now = time.monotonic()
            if self._is_held():
                if now >= patient_until:
                    raise ScriptError(
                        f"A gate held a turn for {self._machine.settings.patience:g} s. Release it, from "
                        "another thread if this one reads the turn."
                    )
                wakes = [patient_until, now + SLICE_SECONDS]
            else:
                due = self._passed + self._delay(self._taken)
                if not self._machine.settings.real_time:
                    if timeout is not None and due > timeout:
                        self._finish(DeadlineExceeded(timeout))
                        break
                    if until is not None and due - self._passed > max(0.0, until - now):
                        # Even a take that does not wait lets some time pass, or polling would never end.
                        self._pass(max(until - now, TICK_SECONDS))
                        return ()
                    self._passed = due
                    return self._step(self._plan)
                if now - self._began - self._queued >= due:
                    self._passed = due
                    return self._step(self._plan)
                wakes = [self._began + self._queued + due, now + SLICE_SECONDS]
            if timeout is not None:
                if now - self._began >= timeout:
                    self._finish(DeadlineExceeded(timeout))
                    break
                wakes.append(self._began + timeout)
            if until is not None:
                if now >= until:
                    return ()
                wakes.append(until)
            self._machine.changed.wait(max(0.0, min(wakes) - now))
            if self._machine.settings.real_time and self._gates_closed_at(self._taken):
                # Time behind a gate is not spent on the next chunk.
                self._passed = max(self._passed, time.monotonic() - self._began - self._queued)
        return ()

    def _step(self, plan: Plan) -> Sequence[Delta]:
        """Deliver the next chunk, or come to the end."""
        self._waited = 0.0
        if self._taken < len(plan.steps):
            delta = plan.steps[self._taken].delta
            self._taken += 1
            if self._taken == 1:
                self._first = self._passed
            self._arrive()
            return (delta,)
        if self._settled is not None:
            self._end = self._settled
        elif plan.error is None or isinstance(plan.error, LiteRTLMError):
            self._finish(plan.error)
        else:
            raise plan.error
        return ()

    def _arrive(self) -> None:
        for place, gate in self._gates:
            if place == self._taken:
                gate._arrive()

    def _gates_closed_at(self, place: int) -> bool:
        return any(at == place and not gate.released for at, gate in self._gates)

    def _is_held(self) -> bool:
        return self._gates_closed_at(self._taken)

    def _delay(self, step: int) -> float:
        """Seconds before a step that have not passed yet; the end follows the last chunk at once."""
        delay = self._reply.prefill if step == 0 else 0.0
        if self._plan is not None and step < len(self._plan.steps):
            delay += self._reply.delay
        return max(0.0, delay - self._waited) if step == self._taken else delay

    def _pass(self, seconds: float) -> None:
        self._passed += seconds
        self._waited += seconds

    def _is_free(self, plan: Plan) -> bool:
        """Whether the engine would have come to the end by now."""
        if self._cancelled:
            return True
        if any(at >= self._taken and not gate.released for at, gate in self._gates):
            return False
        if not self._machine.settings.real_time:
            timeout = self._record.options.timeout
            return timeout is None or self._passed + self._delays_ahead(plan) <= timeout
        passed = time.monotonic() - self._began - self._queued
        return passed >= self._passed + self._delays_ahead(plan)

    def _delays_ahead(self, plan: Plan) -> float:
        return sum(self._delay(step) for step in range(self._taken, len(plan.steps) + 1))

    def _finish(self, error: LiteRTLMError | None) -> None:
        """The end, for the reader too."""
        self._end = self._settle(error, self._taken)
        self._machine.changed.notify_all()

    def _settle(self, error: LiteRTLMError | None, steps: int) -> TurnEnd:
        """The end after that many steps, for everyone but the reader."""
        plan = self._plan
        assert plan is not None
        well = error is None
        done = plan.steps[:steps]
        decoded = plan.tokens if well else sum(step.tokens for step in done)
        # A turn that was stopped before its first chunk was stopped in its prefill.
        prompt = self._prompt if well or done else Prompt(0)
        end = TurnEnd(
            error=error,
            cut=well and plan.cut,
            prompt_tokens=prompt.tokens,
            completion_tokens=decoded,
            reused_tokens=self._before,
            image_tokens=prompt.image_tokens,
            audio_tokens=prompt.audio_tokens,
            token_count=self._before + prompt.tokens + decoded,
            timings=self._timings(prompt, decoded),
            raw="\n".join(_raw(step.delta) for step in done),
        )
        deltas = [step.delta for step in done]
        text = "".join(delta.text for delta in deltas)
        calls = tuple(call for delta in deltas for call in delta.tool_calls)
        if well:
            answer = Message("assistant", ((Text(text),) if text else ()) + calls)
            self._stage.ended_well(answer, end.token_count, end.cut)
        else:
            self._stage.ended_badly()
        self._machine.amend(
            self._place,
            outcome=_outcome(end, bool(calls)),
            reply=text if well else "",
            error=error,
            end=end,
        )
        return end

    def _timings(self, prompt: Prompt, decoded: int) -> Timings:
        prefill = self._reply.prefill
        decode = self._passed - prefill
        return Timings(
            # Only delays of the script count unless time is real: the same turn has the same timings.
            queued=self._queued if self._machine.settings.real_time else 0.0,
            time_to_first_token=self._first,
            total=self._passed,
            prefill_tokens_per_second=prompt.tokens / prefill if prefill > 0 else 0.0,
            decode_tokens_per_second=decoded / decode if decode > 0 else 0.0,
        )


def _outcome(end: TurnEnd, calls: bool) -> Outcome:
    match end.error:
        case Cancelled():
            return "cancelled"
        case DeadlineExceeded():
            return "timeout"
        case None:
            return "tool_calls" if calls else "length" if end.cut else "stop"
        case _:
            return "error"


def _raw(delta: Delta) -> str:
    said: dict[str, object] = {}
    if delta.text:
        said["text"] = delta.text
    if delta.thinking:
        said["thinking"] = delta.thinking
    if delta.tool_calls:
        said["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in delta.tool_calls]
    return json.dumps(said, ensure_ascii=False, default=str)
