"""Chats with their shadows: how they begin, how a turn is made, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from litertlm import Chat, Message, Stream, Text, ToolCall
from litertlm.chat import Overflow

from .acts import How, Tools
from .facts import Facts, References
from .reading import listening, read
from .shadow import Shadow, Told
from .stages import Stage

__all__ = ["Pair", "Turns"]

MOST_TURNS = 6


def last_turn_only(overflow: Overflow) -> tuple[Message, ...]:
    """A policy of an application: the system message and what came last stay."""
    history = overflow.history
    system = 1 if history and history[0].role == "system" else 0
    users = [place for place, message in enumerate(history) if message.role == "user"]
    start = users[-1] if users else len(history)
    return history[:system] + history[max(start, system) :]


POLICIES = ("error", "drop_oldest", "summarize", last_turn_only)

# How a chat may begin.
OPENINGS: tuple[tuple[Message, ...], ...] = (
    (),
    (Message("system", (Text("Be brief."),)),),
    (
        Message("user", (Text("Hello there, how are you?"),)),
        Message("assistant", (Text("I am fine."),)),
    ),
    (
        Message("user", (Text("What time is it?"),)),
        Message("assistant", (ToolCall("call_1", "get_time", {}),)),
    ),
)


@dataclass
class Pair:
    """A chat and its shadow."""

    chat: Chat
    shadow: Shadow


class Turns(RuleBasedStateMachine):
    """Chats of one client, one to three of them, that are forks of the first."""

    def __init__(self, stage: Callable[[int], Stage]) -> None:
        super().__init__()
        self._make_stage = stage
        self._pairs: list[Pair] = []

    # -- the beginning, and the end ----------------------------------------------------------------------

    @initialize(
        context=st.sampled_from([250, 600, 3000]),
        policy=st.sampled_from(POLICIES),
        opening=st.sampled_from(OPENINGS),
        on_error=st.sampled_from(["raise", "inform"]),
        when_busy=st.sampled_from(["raise", "wait"]),
    )
    def open(
        self, context: int, policy: Any, opening: tuple[Message, ...], on_error: Any, when_busy: Any
    ) -> None:
        """A chat begins."""
        self._stage = self._make_stage(context)
        self._policy = policy
        self._tools = Tools(on_error)
        self._when_busy: Literal["raise", "wait"] = when_busy
        self._references = References(self._stage, self._tools, self._chat)
        chat = self._chat(opening)
        self._pairs = [Pair(chat, Shadow.first(opening))]
        self._check()

    def teardown(self) -> None:
        """Every chat is closed, and nothing is left."""
        if not self._pairs:
            return
        for pair in self._pairs:
            pair.chat.close()
        self._stage.close()

    def _chat(self, opening: tuple[Message, ...]) -> Chat:
        return self._stage.client.chat(
            initial_messages=opening,
            tools=self._tools.declared,
            on_overflow=self._policy,
            when_busy=self._when_busy,
            sampler={"temperature": 0},
            max_output_tokens=self._stage.longest,
        )

    # -- a turn ------------------------------------------------------------------------------------------

    def _pair(self, which: int) -> Pair:
        return self._pairs[which % len(self._pairs)]

    def _refused(self, which: int, kind: type[BaseException], call: Callable[[Chat], object]) -> None:
        pair = self._pair(which)
        try:
            call(pair.chat)
        except kind:
            self._check(pair)
            return
        raise AssertionError(f"no {kind.__name__} was raised")

    def _turn(
        self,
        which: int,
        how: How,
        sent: Message | None,
        begin: Callable[[Chat, Any], Stream],
        *,
        base: Shadow | None = None,
        reads: Callable[..., None] = read,
    ) -> None:
        """Make a turn, whatever comes of it, and see what it has left."""
        pair, told = self._pair(which), Told()
        options = {**self._tools.options(how), **listening(pair.chat, how, told)}
        if how.hurried:
            options["timeout"] = self._stage.timeout
        try:
            with self._stage.says(how.script):
                reads(
                    pair.chat,
                    how,
                    lambda given: begin(pair.chat, given),
                    options,
                    late=self._stage.let_time_pass,
                    meanwhile=lambda: self._meanwhile(pair),
                )
        except how.may_raise as error:
            # A turn that is over already cannot fail any more; only Ctrl-C still comes through.
            assert not told.kept or isinstance(error, KeyboardInterrupt)
        else:
            assert told.kept or how.reading in ("leave", "drop")
        self._settle(pair, told, how, sent, base=base)

    def _meanwhile(self, pair: Pair) -> None:
        """Another chat makes a turn while this one's is half read."""
        for other in self._pairs:
            if other is not pair:
                told = Told()
                how = How(handler=self._tools.handler)
                with self._stage.says(()), suppress(*how.may_raise):
                    other.chat.send("Meanwhile?", **listening(other.chat, how, told))
                self._settle(other, told, how, Message("user", (Text("Meanwhile?"),)), check=False)
                return

    def _settle(
        self,
        pair: Pair,
        told: Told,
        how: How,
        sent: Message | None,
        *,
        base: Shadow | None = None,
        check: bool = True,
        tokens: int | None = None,
    ) -> None:
        assert len(told.ends) == bool(told.events), f"{len(told.ends)} terminal events"
        if told.events:
            assert told.events[-1] in told.ends
        self._stage.note(told)
        if told.kept:
            keeps = self._stage.keeps
            pair.shadow = pair.shadow.after(told, how, sent, pair.chat, base=base, keeps=keeps, tokens=tokens)
            assert told.kept.reply.tool_calls == pair.shadow.pending
        if not check:
            return
        self._check(pair)
        if pair.shadow.depth > MOST_TURNS:
            self.undo(self._pairs.index(pair), 3)

    # -- what must be true -------------------------------------------------------------------------------

    def _check(self, *changed: Pair) -> None:
        """Everything, of the chats that were changed; of the others what costs nothing, or everything too."""
        assert not self._tools.unrefused
        for pair in self._pairs:
            chat, shadow = pair.chat, pair.shadow
            assert chat.history == shadow.history
            assert chat.usage == shadow.usage
            assert chat.pending_tool_calls == shadow.pending
            assert not chat.closed
            assert chat._gate.guest is None, "the chat is still busy"
            assert chat.token_count == shadow.tokens
            if self._stage.thorough or pair in changed:
                if not self._stage.is_live(chat):
                    shadow = pair.shadow = shadow.forgotten
                found = self._references.found(chat, shadow)
                expected = self._references.expected(shadow)
                for fact in fields(Facts):
                    got, wanted = getattr(found, fact.name), getattr(expected, fact.name)
                    assert got == wanted, f"{fact.name}: {got!r}, not {wanted!r}"
        self._stage.check_open(len(self._pairs))
