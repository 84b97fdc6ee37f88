"""Steps that a chat is put through, and what must be true after each of them.

After every step the chat is compared with a shadow that plain Python keeps, and with a reference: a fresh
chat that made the turns that are left, and only those, on the same engine. Where going back made the engine's
conversation anew from its history, so does the reference. Its replies are the same, and so are its token
counts; then both are asked one more question, on a fork, so that the chat is not changed by it. The fake's
reply is made of all that was said, and its records show what that was.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from litertlm import (
    Audio,
    Cancelled,
    Chat,
    ContextOverflow,
    Image,
    MediaError,
    Message,
    MessageError,
    OptionError,
    Stream,
    Text,
    ToolCall,
    ToolResult,
)
from litertlm.chat import Overflow
from litertlm.testing import FakeReply
from litertlm.tools import Toolset

from .acts import How, Kept, Tools
from .drawing import hows, messages, runnable, some
from .reading import listening, read
from .shadow import Shadow, Told
from .stages import Stage

__all__ = ["NeverCorrupt"]

MOST_CHATS = 3
MOST_TURNS = 6
TOOLS_WANTED = "What is the weather in Paris?"
PROBE = "And what did I say?"


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


@dataclass(frozen=True)
class Facts:
    """What can be seen of a chat from outside, and what its model says next."""

    history: tuple[object, ...]
    tokens: int
    count: int
    render: str
    answer: object


class NeverCorrupt(RuleBasedStateMachine):
    """Chats of one client, one to three of them, that are forks of the first."""

    def __init__(self, stage: Callable[[int], Stage]) -> None:
        super().__init__()
        self._make_stage = stage
        self._pairs: list[Pair] = []
        # By the identities of turns, which are kept alive for that.
        self._known: dict[tuple[int, ...], Facts] = {}
        self._keys: list[object] = []

    # -- the beginning, and the end ----------------------------------------------------------------------

    @initialize(
        context=st.sampled_from([250, 600, 3000]),
        policy=st.sampled_from(POLICIES),
        opening=st.sampled_from(OPENINGS),
        on_error=st.sampled_from(["raise", "inform"]),
    )
    def open(self, context: int, policy: Any, opening: tuple[Message, ...], on_error: Any) -> None:
        """A chat begins."""
        self._stage = self._make_stage(context)
        self._policy = policy
        self._tools = Tools(on_error)
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
            sampler={"temperature": 0},
            max_output_tokens=self._stage.longest,
        )

    # -- steps -------------------------------------------------------------------------------------------

    @rule(which=some(2), text=messages, how=hows())
    def say(self, which: int, text: str, how: How) -> None:
        """Send a text."""
        sent = Message("user", (Text(text),))
        self._turn(which, how, sent, lambda chat, given: chat.send_stream(text, **given))

    @rule(which=some(2), kinds=st.lists(st.booleans(), min_size=1, max_size=2), text=messages, how=hows())
    def show(self, which: int, kinds: list[bool], text: str, how: How) -> None:
        """Send media and a text."""
        parts = [self._stage.picture if picture else self._stage.sound for picture in kinds]
        sent = Message("user", (*parts, Text(text)))
        self._turn(which, how, sent, lambda chat, given: chat.send_multi_stream(sent.parts, **given))

    @rule(which=some(2), calls=runnable, how=hows())
    def ask_for_tools(self, which: int, calls: tuple[Any, ...], how: How) -> None:
        """Say what makes the model call tools."""
        called = replace(how, script=(FakeReply(tool_calls=calls), *how.script))
        self.say(which, TOOLS_WANTED, called)

    @rule(which=some(2), how=hows())
    def give_results(self, which: int, how: How) -> None:
        """Answer pending calls by hand."""
        calls = self._pair(which).shadow.pending
        results = [ToolResult(call.id, call.name, {"told": "<turn|>by hand"}) for call in calls]
        if not calls:
            self._refused(which, MessageError, lambda chat: chat.send_tool_result(results))
            self._refused(which, MessageError, lambda chat: chat.send_tool_result(ToolResult("x", "y", 1)))
            self._leave_calls_pending(which)
            return
        self._refused(which, MessageError, lambda chat: chat.send_tool_result([*results, results[0]]))
        sent = Message("tool", tuple(results))
        begin = lambda chat, given: chat.send_tool_result_stream(results[::-1], **given)  # noqa: E731
        self._turn(which, how, sent, begin)

    @rule(which=some(2), how=hows())
    def run_tools(self, which: int, how: How) -> None:
        """Have pending calls made."""
        calls = self._pair(which).shadow.pending
        if not calls or not all(call.name in ("get_weather", "get_time") for call in calls):
            self._refused(which, MessageError, lambda chat: chat.run_tools())
            self._leave_calls_pending(which)
            return
        self._turn(which, how, None, lambda chat, given: chat.run_tools_stream(**given))

    @rule(which=some(2), how=hows())
    def regenerate(self, which: int, how: How) -> None:
        """Have the latest message answered anew."""
        shadow = self._pair(which).shadow
        if shadow.before is None or _is_out_of_context(shadow):
            self._refused(which, MessageError, lambda chat: chat.regenerate())
            self.say(which, "Hello!", How())
            return
        begin = lambda chat, given: chat.regenerate_stream(**given)  # noqa: E731
        self._turn(which, how, shadow.message, begin, base=shadow.before)

    @rule(which=some(2), index=st.integers(-8, 8), text=messages, how=hows())
    def edit(self, which: int, index: int, text: str, how: How) -> None:
        """Change what was said."""
        shadow = self._pair(which).shadow
        place = index + len(shadow.history) if index < 0 else index
        moment = shadow.begun_with(place)
        if moment is None or moment.message is None or moment.message.role != "user":
            self._refused(which, MessageError, lambda chat: chat.edit(index, text))
            return
        media = tuple(part for part in moment.message.parts if isinstance(part, Image | Audio))
        sent = Message("user", (*media, Text(text)))
        begin = lambda chat, given: chat.edit_stream(index, text, **given)  # noqa: E731
        self._turn(which, how, sent, begin, base=moment.before)

    @rule(which=some(2), turns=some(3))
    def undo(self, which: int, turns: int) -> None:
        """Take turns back."""
        pair = self._pair(which)
        moment = pair.shadow.earlier(turns)
        if moment is None:
            self._refused(which, MessageError, lambda chat: chat.undo(turns))
            return
        gone = pair.chat.undo(turns)
        kept = len(moment.history)
        if pair.shadow.history[:kept] == moment.history:
            assert gone == pair.shadow.history[kept:]
        pair.shadow = pair.shadow.back_at(moment)
        self._check(pair)

    @rule(which=some(2))
    def reset(self, which: int) -> None:
        """Start again."""
        pair = self._pair(which)
        pair.chat.reset()
        first = pair.shadow.earlier(pair.shadow.depth)
        assert first is not None
        pair.shadow = pair.shadow.back_at(first)
        self._check(pair)

    @rule(which=some(2))
    def fork(self, which: int) -> None:
        """Go on in two chats; the third one back is closed."""
        pair = self._pair(which)
        forked = Pair(pair.chat.fork(), pair.shadow.forked())
        if len(self._pairs) == MOST_CHATS:
            self._pairs.pop(0).chat.close()
        self._pairs.append(forked)
        self._check(pair, forked)

    @rule(which=some(2))
    def save_and_load(self, which: int) -> None:
        """Go on with what was written down."""
        pair = self._pair(which)
        record = pickle.loads(pickle.dumps(pair.chat))
        pair.chat.close()
        client, tools = self._stage.client, self._tools.declared
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The chat took .* tokens")  # it was full before
            pair.chat = client.load_chat(record, tools=tools, on_overflow=self._policy)
        pair.shadow = pair.shadow.loaded(pair.chat.history)
        self._check(pair)

    @rule(which=some(2), what=some(7))
    def nonsense(self, which: int, what: int) -> None:
        """What is refused before anything happens."""
        calls: list[tuple[type[Exception], Callable[[Chat], object]]] = [
            (MediaError, lambda chat: chat.send_multi([Image(b"no picture"), "What?"])),
            (MediaError, lambda chat: chat.send_multi([Audio(b"RIFF1234WAVEfmt "), "What?"])),
            (OptionError, lambda chat: chat.send("Hello!", max_output_tokens=0)),
            (OptionError, lambda chat: chat.send("Hello!", timeout=float("nan"))),
            (TypeError, lambda chat: chat.send("Hello!", no_such_option=1)),
            (MessageError, lambda chat: chat.send("nul \0 character")),
            (MessageError, lambda chat: chat.send("half a character \ud800")),
            (MessageError, lambda chat: chat.undo(99)),
        ]
        self._refused(which, *calls[what])

    @rule(which=some(2), text=messages, place=some(4), end=st.sampled_from(["cancel", "release"]))
    def hold(self, which: int, text: str, place: int, end: str) -> None:
        """A turn waits for the engine in another thread, and is cancelled from this one."""
        pair, told = self._pair(which), Told()
        how = How()
        caught: list[BaseException] = []

        def send() -> None:
            try:
                pair.chat.send(text, **listening(pair.chat, how, told))
            except BaseException as error:
                caught.append(error)

        with self._stage.holds(place) as gate:
            if gate is None:
                return
            with Running(send) as running:
                while running.alive and not gate.arrived:
                    with suppress(AssertionError):
                        gate.wait(timeout=0.01)
                if end == "cancel":
                    pair.chat.cancel()
                gate.release()
        if caught and not isinstance(caught[0], Cancelled | ContextOverflow):
            raise caught[0]
        assert end != "cancel" or caught, "the turn was not cancelled"
        self._settle(pair, told, how, Message("user", (Text(text),)))

    def _leave_calls_pending(self, which: int) -> None:
        """Something to go on with in the next step."""
        script = (FakeReply(tool_calls=(("get_weather", {"city": "Paris"}), ("get_time", {}))),)
        self.say(which, TOOLS_WANTED, How(script, approving="pause"))

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
    ) -> None:
        """Make a turn, whatever comes of it, and see what it has left."""
        pair, told = self._pair(which), Told()
        options = {**self._tools.options(how), **listening(pair.chat, how, told)}
        if how.hurried:
            options["timeout"] = self._stage.timeout
        try:
            with self._stage.says(how.script):
                read(
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
                with self._stage.says(()), suppress(ContextOverflow):
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
    ) -> None:
        assert len(told.ends) == bool(told.events), f"{len(told.ends)} terminal events"
        if told.events:
            assert told.events[-1] in told.ends
        if told.kept:
            keeps = self._stage.keeps
            pair.shadow = pair.shadow.after(told, how, sent, pair.chat, base=base, keeps=keeps)
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
                found, expected = self._facts(chat, shadow), self._reference(shadow)
                for fact in fields(Facts):
                    got, wanted = getattr(found, fact.name), getattr(expected, fact.name)
                    assert got == wanted, f"{fact.name}: {got!r}, not {wanted!r}"
        self._stage.check_open(len(self._pairs))

    def _reference(self, shadow: Shadow) -> Facts:
        """The facts of a fresh chat that made the same turns."""
        key = (id(shadow.origin), *map(id, shadow.turns))
        if key not in self._known:
            with ExitStack() as chats:
                fresh = chats.enter_context(self._chat(shadow.origin))
                for turn in shadow.turns:
                    if turn is None:
                        fresh = chats.enter_context(fresh.fork())
                    else:
                        self._repeat(fresh, turn)
                self._known[key] = self._facts(fresh, shadow)
            self._keys.append((shadow.origin, shadow.turns))
        return self._known[key]

    def _repeat(self, chat: Chat, turn: Kept) -> None:
        options = self._tools.options(turn.how)
        with self._stage.says(turn.how.script):
            if turn.message is None:
                chat.run_tools(**options)
            elif turn.message.role == "user":
                chat.send_multi(turn.message.parts, **options)
            else:
                # Where ids are not the same in every run, their order is.
                calls = [part for part in turn.message.parts if isinstance(part, ToolResult)]
                pairs = zip(chat.pending_tool_calls, calls, strict=True)
                chat.send_tool_result(
                    [ToolResult(call.id, call.name, part.result) for call, part in pairs], **options
                )

    def _facts(self, chat: Chat, shadow: Shadow) -> Facts:
        before = chat.token_count
        answer: object
        with chat.fork() as fork, self._stage.says(()):
            try:
                reply = fork.send(PROBE)
            except ContextOverflow as error:
                answer = (error.used + error.needed, error.limit)
            else:
                answer = (reply.text, len(reply.tool_calls), fork.token_count)
                if fork.history[:-2] == shadow.history:
                    self._stage.check_said(shadow, Toolset(self._tools.declared), PROBE, reply.text)
        assert chat.token_count == before
        return Facts(
            tuple((message.role, *map(_without_id, message.parts)) for message in chat.history),
            # A conversation that was made from a history has no tokens before its first turn.
            before if shadow.turns else 0,
            chat.count(PROBE) if shadow.turns else 0,
            chat.render(PROBE),
            answer,
        )


def _without_id(part: object) -> object:
    """A part as the model sees it."""
    match part:
        case ToolResult(_, name, result):
            return (name, repr(result))
        case Text() | Image() | Audio():
            return part
        case _:
            return (part.name, repr(part.arguments))  # type: ignore[attr-defined]


def _is_out_of_context(shadow: Shadow) -> bool:
    """Whether the results that the latest turn began with were left out meanwhile."""
    message = shadow.message
    return message is not None and message.role == "tool" and message not in shadow.history


class Running:
    """Something that goes on in another thread for as long as the block lasts."""

    def __init__(self, call: Callable[[], object]) -> None:
        import threading

        self._thread = threading.Thread(target=call)

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
