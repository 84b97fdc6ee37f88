"""How often each thing has happened to turns, so that a long run can show that it has met all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from litertlm import events

from .shadow import Told

__all__ = ["Tally"]

# After such an event, a turn is in that stage.
STAGES = {
    events.TurnStarted: "before the prefill",
    events.HopStarted: "in the prefill",
    events.TextDelta: "in decoding",
    events.ThinkingDelta: "in decoding",
    events.ToolCallDelta: "in decoding",
    events.HopEnded: "after a hop",
    events.ToolBatchStarted: "in tools",
    events.ToolBatchEnded: "after tools",
}


class Tally:
    """Counts of what came of turns, by words such as ``"Cancelled in decoding"``.

    Attributes:
        counts: They.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, told: Told) -> None:
        """A turn is over."""
        self.counts.update(_words(told))


def _words(told: Told) -> Iterator[str]:
    stage = ""
    for event in told.events:
        stage = STAGES.get(type(event), stage)
        match event:
            case events.TurnFailed(error):
                yield f"{type(error).__name__} {stage}"
            case events.TurnEnded(reply):
                yield f"ended by {reply.finish_reason}"
                if reply.parsed is not None:
                    yield "a reply in a form"
            case events.ContextTrimmed():
                yield "trimmed"
            case events.ToolEnded():
                yield "a tool ran"
            case events.ToolFailed():
                yield "a tool failed"
