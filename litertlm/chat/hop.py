"""One generation: what the engine delivers, as events and as a whole."""

from __future__ import annotations

from dataclasses import replace

from litertlm import events
from litertlm._engine.seam import Delta, TurnEnd
from litertlm.messages import FinishReason, Hop, Usage

__all__ = ["events_of", "hop_of"]


def events_of(delta: Delta) -> list[events.Event]:
    """What a piece is to who follows the turn; its tokens come with the first of its events."""
    said: list[events.TextDelta | events.ThinkingDelta | events.ToolCallDelta] = []
    if delta.thinking:
        said.append(events.ThinkingDelta(delta.thinking))
    if delta.text or (delta.logprobs and not delta.thinking and not delta.tool_calls):
        said.append(events.TextDelta(delta.text))
    if delta.tool_calls:
        said.append(events.ToolCallDelta(delta.tool_calls))
    if delta.logprobs:
        said[0] = replace(said[0], logprobs=delta.logprobs)
    return list(said)


def hop_of(said: list[Delta], end: TurnEnd) -> Hop:
    """What one generation came to."""
    calls = tuple(call for delta in said for call in delta.tool_calls)
    finish: FinishReason = "tool_calls" if calls else "length" if end.cut else "stop"
    usage = Usage(
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        reused_tokens=end.reused_tokens,
        image_tokens=end.image_tokens,
        audio_tokens=end.audio_tokens,
    )
    return Hop(
        text="".join(delta.text for delta in said),
        thinking="".join(delta.thinking for delta in said),
        tool_calls=calls,
        finish_reason=finish,
        usage=usage,
        timings=end.timings,
        logprobs=tuple(token for delta in said for token in delta.logprobs),
    )
