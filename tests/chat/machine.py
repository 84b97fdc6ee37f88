"""Steps that a chat is put through.

After every step the chat is compared with a shadow that plain Python keeps, and with a reference: a fresh
chat that made the turns that are left, and only those, on the same engine. Where going back made the engine's
conversation anew from its history, so does the reference. Its replies are the same, and so are its token
counts; then both are asked one more question, on a fork, so that the chat is not changed by it. The fake's
reply is made of all that was said, and its records show what that was.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from litertlm import (
    Audio,
    Cancelled,
    Chat,
    Image,
    MediaError,
    Message,
    MessageError,
    ModalityUnavailable,
    OptionError,
    Text,
    ToolResult,
)
from litertlm.testing import FakeReply

from .acts import How
from .drawing import hows, messages, runnable, some
from .reading import Running, listening
from .reading_async import for_asyncio, read_async
from .shadow import Shadow, Told
from .turns import Pair, Turns

__all__ = ["NeverCorrupt"]

MOST_CHATS = 3
TOOLS_WANTED = "What is the weather in Paris?"


class NeverCorrupt(Turns):
    """Everything that can be done to a chat."""

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
        if not self._takes_media:
            self._refused(which, ModalityUnavailable, lambda chat: chat.send_multi(sent.parts))
            self.say(which, text, how)
            return
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

    @rule(which=some(2), how=st.sampled_from(["pickle", "file", "file with KV"]))
    def save_and_load(self, which: int, how: str) -> None:
        """Go on with what was written down."""
        pair = self._pair(which)
        kept = how == "file with KV" and self._stage.keeps_kv(pair.chat)
        held = pair.chat._timeline.prefilled
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "The chat took .* tokens")  # it was full before
            if how == "pickle":
                source = pickle.loads(pickle.dumps(pair.chat))
            else:
                source = Path(stack.enter_context(TemporaryDirectory()), "a.chat")
                pair.chat.save(source, kv_cache=how == "file with KV")
                if not kept:
                    source.with_name("a.chat.kv").unlink(missing_ok=True)
            pair.chat.close()
            pair.chat = self._stage.client.load_chat(
                source, tools=self._tools.declared, on_overflow=self._policy, when_busy=self._when_busy
            )
        assert pair.chat._timeline.prefilled == (held if kept else 0)
        pair.shadow = pair.shadow.loaded(pair.chat.history, with_kv=kept)
        self._check(pair)

    @rule(which=some(2), what=some(7))
    def nonsense(self, which: int, what: int) -> None:
        """What is refused before anything happens."""
        no_media = MediaError if self._takes_media else ModalityUnavailable
        calls: list[tuple[type[Exception], Callable[[Chat], object]]] = [
            (no_media, lambda chat: chat.send_multi([Image(b"no picture"), "What?"])),
            (no_media, lambda chat: chat.send_multi([Audio(b"RIFF1234WAVEfmt "), "What?"])),
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
        """A turn goes on in another thread, and is cancelled from this one.

        An engine that can be told so waits for that, another one may be through before.
        """
        pair, told = self._pair(which), Told()
        how = How()
        options = self._tools.options(how)
        caught: list[BaseException] = []

        def send() -> None:
            try:
                pair.chat.send(text, **options, **listening(pair.chat, how, told))
            except BaseException as error:
                caught.append(error)

        with self._stage.holds(place) as gate, Running(send) as running:
            while running.alive and not (gate.arrived if gate else len(told) > place):
                running.wait(0.001)
            if end == "cancel":
                pair.chat.cancel()
            if gate is not None:
                gate.release()
        if caught and not isinstance(caught[0], (Cancelled, *how.may_raise)):
            raise caught[0]
        assert end != "cancel" or caught or gate is None, "the turn was not cancelled"
        self._settle(pair, told, how, Message("user", (Text(text),)))

    @rule(which=some(2), texts=st.tuples(messages, messages), chunks=some(3))
    def stand_in_line(self, which: int, texts: tuple[str, str], chunks: int) -> None:
        """A second turn is asked for in another thread while one is half read, and is made after it."""
        pair, told, how = self._pair(which), (Told(), Told()), How()
        if self._when_busy == "raise" or self._policy == "summarize":
            return  # how the summary of the first one read is not known after the second
        caught: list[BaseException] = []
        options = self._tools.options(how)

        def send() -> None:
            try:
                pair.chat.send(texts[1], **options, **listening(pair.chat, how, told[1]))
            except BaseException as error:
                caught.append(error)

        with self._stage.says(()), suppress(*how.may_raise):
            stream = pair.chat.send_stream(texts[0], **options, **listening(pair.chat, how, told[0]))
            for _ in range(chunks):
                next(stream, None)
            with Running(send):
                for _ in stream:
                    pass
        if caught and not isinstance(caught[0], how.may_raise):
            raise caught[0]
        tokens = pair.chat.token_count
        if told[1].kept:
            between = pair.chat._timeline.state.before
            assert between is not None
            tokens = between.token_count
        first, second = (Message("user", (Text(text),)) for text in texts)
        self._settle(pair, told[0], how, first, check=False, tokens=tokens)
        self._settle(pair, told[1], how, second)

    @rule(which=some(2), text=messages, how=hows())
    def say_async(self, which: int, text: str, how: How) -> None:
        """Send a text from a loop of asyncio."""
        sent = Message("user", (Text(text),))
        how = for_asyncio(how)

        def reads(chat: Chat, how: How, begin: object, options: Mapping[str, Any], **others: Any) -> None:
            read_async(chat, how, text, options)

        self._turn(which, how, sent, lambda chat, given: chat.send_stream(text, **given), reads=reads)

    @property
    def _takes_media(self) -> bool:
        return self._stage.client.info.modalities != ("text",)

    def _leave_calls_pending(self, which: int) -> None:
        """Something to go on with in the next step."""
        script = (FakeReply(tool_calls=(("get_weather", {"city": "Paris"}), ("get_time", {}))),)
        self.say(which, TOOLS_WANTED, How(script, approving="pause"))


def _is_out_of_context(shadow: Shadow) -> bool:
    """Whether the results that the latest turn began with were left out meanwhile."""
    message = shadow.message
    return message is not None and message.role == "tool" and message not in shadow.history
