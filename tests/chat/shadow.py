"""What a chat should be, kept in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

from litertlm import Chat, Message, Text, ToolCall, Usage, events
from litertlm.events import Event

from .acts import How, Kept

__all__ = ["Shadow", "Told"]

SUMMARY_ASKED = Message("user", (Text("What did we talk about earlier?"),))

_numbers = itertools.count(1)


class Told:
    """The events of one turn, and what they come to."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __len__(self) -> int:
        return len(self.events)

    @property
    def ends(self) -> list[Event]:
        """Terminal events; there is one, if anything began."""
        return [event for event in self.events if isinstance(event, events.TurnEnded | events.TurnFailed)]

    @property
    def kept(self) -> events.TurnEnded | None:
        """The end of a turn that became part of the chat."""
        ended = [event for event in self.events if isinstance(event, events.TurnEnded)]
        return ended[0] if ended else None

    @property
    def trimmed(self) -> bool:
        """Whether the context was trimmed."""
        return any(isinstance(event, events.ContextTrimmed) for event in self.events)

    @property
    def messages(self) -> list[Message]:
        """What was sent in it, and kept: the user's message, and tool results."""
        return [message for message, _ in self._hops()]

    def _hops(self) -> Iterable[tuple[Message, Message]]:
        started: Message | None = None
        for event in self.events:
            if isinstance(event, events.HopStarted):
                started = event.message
            elif isinstance(event, events.HopEnded):
                assert started is not None
                hop = event.hop
                text = (Text(hop.text),) if hop.text else ()
                yield started, Message("assistant", text + hop.tool_calls)

    def applied_to(self, history: tuple[Message, ...], found: tuple[Message, ...]) -> tuple[Message, ...]:
        """The history after it; what was left out of the context is left out.

        Args:
            history: Before it.
            found: What the chat says; only whether there is a summary, and how it reads, is taken from it.
        """
        hops = iter(self._hops())
        trims = [event.dropped for event in self.events if isinstance(event, events.ContextTrimmed)]
        for event in self.events:
            if isinstance(event, events.ContextTrimmed):
                history = _without(history, trims.pop(0))
                # A summary is what the next one leaves out first.
                system = _system(history)
                after = trims[0] if trims else found[system:]
                if after[:1] == (SUMMARY_ASKED,) and after[1].role == "assistant" and after[1].text:
                    history = (*history[:system], *after[:2], *history[system:])
            elif isinstance(event, events.HopEnded):
                history += next(hops)
        return history


def _system(history: tuple[Message, ...]) -> int:
    return 1 if history and history[0].role == "system" else 0


def _without(history: tuple[Message, ...], dropped: tuple[Message, ...]) -> tuple[Message, ...]:
    """The history without its oldest messages, which are these."""
    system = _system(history)
    assert history[system : system + len(dropped)] == dropped, "something else was dropped than the oldest"
    return history[:system] + history[system + len(dropped) :]


@dataclass(frozen=True)
class Shadow:
    """One moment of a chat.

    Attributes:
        history: What was said.
        usage: Tokens of all turns.
        tokens: Of the engine's conversation after the latest turn.
        origin: What the engine's conversation began with.
        turns: What has been made in that conversation since; None: the engine forgot all of it, and reads it
            again with the next turn. A fork of a chat does the same.
        number: Of that conversation. Going back to a moment of another one opens a third, which begins with
            the history of that moment: what a model was told at the beginning is rendered in one piece, so
            its tokens may differ from those of the same turns made one by one.
        before: The moment before the latest turn.
        message: What the latest turn began with.
    """

    history: tuple[Message, ...]
    usage: Usage = Usage()
    tokens: int = 0
    origin: tuple[Message, ...] = ()
    turns: tuple[Kept | None, ...] = ()
    number: int = 0
    before: Shadow | None = None
    message: Message | None = None

    @staticmethod
    def first(history: tuple[Message, ...]) -> Shadow:
        """A chat that begins with ``history``."""
        return Shadow(history, origin=history, number=next(_numbers))

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """Calls that wait for results."""
        last = self.history[-1] if self.history else None
        return last.tool_calls if last is not None and last.role == "assistant" else ()

    @property
    def depth(self) -> int:
        """How many turns can be taken back."""
        return 0 if self.before is None else 1 + self.before.depth

    def earlier(self, turns: int) -> Shadow | None:
        """The moment so many turns ago."""
        moment: Shadow | None = self
        for _ in range(turns):
            moment = moment.before if moment is not None else None
        return moment

    def begun_with(self, index: int) -> Shadow | None:
        """The moment after the turn that began with that message of the history."""
        if not 0 <= index < len(self.history):
            return None
        moment: Shadow | None = self
        while moment is not None and moment.message is not self.history[index]:
            moment = moment.before
        return moment

    def back_at(self, moment: Shadow) -> Shadow:
        """``moment``, gone back to from here."""
        if moment.number == self.number:
            return moment
        return moment.anew

    @property
    def anew(self) -> Shadow:
        """The same moment, the engine's conversation made from its history."""
        return replace(self, origin=self.history, turns=(), number=next(_numbers))

    @property
    def forgotten(self) -> Shadow:
        """The same moment, to be read again by an engine that cannot go back."""
        if not self.turns or self.turns[-1] is None:
            return self
        return replace(self, turns=(*self.turns, None))

    def loaded(self, history: tuple[Message, ...], *, with_kv: bool) -> Shadow:
        """The same, written down and read again as ``history``.

        What was left out of the context was not written, so turns that began with it cannot be taken back
        any more; nor can the answer to calls that were pending when the chat began. How many tokens there
        were, and what is in the KV cache, is written for the latest moment only.
        """
        assert history == self.history
        ends: list[int] = []
        moment: Shadow | None = self
        while moment is not None:
            ends += [place for place, said in enumerate(self.history) if said is moment.message]
            moment = moment.before
        ends = [end for end in reversed(ends) if history[end].role == "user"]
        loaded: Shadow | None = None
        begun: Message | None = None
        for end in (*ends, len(history)):
            number = next(_numbers)
            tokens = self.tokens if end == len(history) else 0
            loaded = Shadow(history[:end], self.usage, tokens, history, (), number, loaded, begun)
            begun = history[end] if end < len(history) else None
        assert loaded is not None
        return replace(loaded, origin=self.origin, turns=self.turns) if with_kv else loaded

    def forked(self) -> Shadow:
        """The same moment in a conversation of its own."""
        return replace(self, number=next(_numbers))

    def after(
        self,
        told: Told,
        how: How,
        sent: Message | None,
        chat: Chat,
        *,
        base: Shadow | None,
        keeps: bool,
        tokens: int | None = None,
    ) -> Shadow:
        """The moment after a turn that ended well.

        Args:
            told: Its events.
            how: It was made.
            sent: What it began with, None: pending calls were run.
            chat: Says what only the engine knows: how a summary reads, how many tokens there are.
            base: What it began from; None: this.
            keeps: Whether the engine can go back to that without forgetting.
            tokens: How many there were, if another turn has been made since.
        """
        ended = told.kept
        assert ended is not None
        messages = told.messages
        if not messages:
            return self  # the calls were put off again
        start = self.back_at(base or self)
        if base is not None and not keeps:
            start = start.forgotten
        begins = messages[0].role == "user"
        return Shadow(
            history=told.applied_to(start.history, chat.history),
            usage=start.usage + ended.reply.usage,
            tokens=chat.token_count if tokens is None else tokens,
            origin=start.origin,
            turns=(*start.turns, Kept(sent, how.plain)),
            number=next(_numbers) if told.trimmed else start.number,
            before=(base or self) if begins or start.before is None else start.before,
            message=messages[0] if begins or start.message is None else start.message,
        )
