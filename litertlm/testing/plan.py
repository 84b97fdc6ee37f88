"""From a scripted reply to the chunks that a turn delivers, all limits applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from litertlm._engine.seam import Delta
from litertlm.messages import ToolCall
from litertlm.options import TurnOptions
from litertlm.testing.logprobs import logprobs_of
from litertlm.testing.prompts import STOP, render_call
from litertlm.testing.script import FakeReply, chunk_number
from litertlm.testing.tokens import Tokenizer

__all__ = ["Plan", "Step", "make_plan"]


@dataclass(frozen=True, slots=True)
class Step:
    """A chunk and the tokens that it takes to decode."""

    delta: Delta
    tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a turn will do if nobody stops it.

    Attributes:
        steps: Its chunks.
        cut: Whether a limit stops it, so that no stop token is decoded.
        error: What it fails with after the steps, None: nothing.
    """

    steps: tuple[Step, ...]
    cut: bool
    error: BaseException | None

    @property
    def tokens(self) -> int:
        """Decoded in all; a stop token, or a stop text in its place, is one."""
        return sum(step.tokens for step in self.steps) + (not self.cut and self.error is None)


def make_plan(
    reply: FakeReply,
    options: TurnOptions,
    *,
    room: int,
    thinking: bool | None,
    tokenizer: Tokenizer,
    new_call_id: Callable[[], str],
) -> Plan:
    """Plan a turn.

    Args:
        reply: What the script says.
        options: Of the turn.
        room: Tokens left in the context.
        thinking: Whether the model may think; None: yes.
        tokenizer: Counts.
        new_call_id: Names a tool call.
    """
    text, stop = _before_stop(reply.text, options.stop)
    calls = () if stop else tuple(ToolCall(new_call_id(), *call) for call in reply.tool_calls)
    steps: list[Step] = []
    if thinking is not False:
        pieces = tokenizer.pieces(reply.thinking)[: options.thinking_budget]
        steps += [Step(Delta(thinking=part), count) for part, count in _chunks(pieces, reply.chunk_tokens)]
    pieces = tokenizer.pieces(text)
    steps += [Step(Delta(text=part), count) for part, count in _chunks(pieces, reply.chunk_tokens)]
    for call in calls:
        steps.append(Step(Delta(tool_calls=(call,)), tokenizer.count(render_call(call.name, call.arguments))))
    error = reply.error
    if error is not None and reply.error_at != "start":
        steps = steps[: chunk_number(reply.error_at, len(steps))]
    limit = room if options.max_output_tokens is None else min(room, options.max_output_tokens)
    kept = list(_within(steps, limit, tokenizer))
    decoded = sum(step.tokens for step in steps)
    cut = decoded > limit or (error is None and decoded == limit)
    if options.logprobs:
        ending = tokenizer.pieces(stop or STOP)[:1] if not cut and error is None else []
        kept = list(_with_logprobs(kept, ending, tokenizer, options.top_logprobs))
    return Plan(tuple(kept), cut, None if cut else error)


def _before_stop(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """The text before the first of the stop texts, and that one; "" if there is none."""
    places = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    place, stop = min(places, default=(len(text), ""))
    return text[:place], stop


def _with_logprobs(
    steps: list[Step], ending: list[str], tokenizer: Tokenizer, alternatives: int
) -> Iterator[Step]:
    """The steps with their tokens; the one that ends the reply comes with the last."""
    before = ""
    for step in steps or [Step(Delta(), 0)] * len(ending):
        written = _written(step.delta)
        pieces = tokenizer.pieces(written) + (ending if not steps or step is steps[-1] else [])
        told = logprobs_of(pieces, before, tokenizer, alternatives)
        before += written
        yield replace(step, delta=replace(step.delta, logprobs=told))


def _written(delta: Delta) -> str:
    """What the model writes to say it."""
    raw = "".join(render_call(call.name, call.arguments) for call in delta.tool_calls)
    return delta.text + delta.thinking + raw


def _chunks(pieces: list[str], size: int | None) -> Iterator[tuple[str, int]]:
    """Handfuls of tokens, as text and number."""
    size = size or max(1, len(pieces))
    for start in range(0, len(pieces), size):
        part = pieces[start : start + size]
        yield "".join(part), len(part)


def _within(steps: list[Step], limit: int, tokenizer: Tokenizer) -> Iterator[Step]:
    """The steps as far as the limit lets them be decoded; a call that is cut stays raw text."""
    left = limit
    for step in steps:
        if step.tokens <= left:
            yield step
            left -= step.tokens
            continue
        if left:
            delta = step.delta
            part = "".join(tokenizer.pieces(_written(delta))[:left])
            yield Step(Delta(thinking=part) if delta.thinking else Delta(text=part), left)
        return
