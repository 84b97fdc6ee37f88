"""Engines that the same steps are done to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from litertlm import Audio, Chat, Client, Image, Message, ToolCall
from litertlm.options import TurnOptions
from litertlm.templates import Markers
from litertlm.testing import FakeEngine, FakeReply, Gate, default_reply
from litertlm.tools import Toolset

from .shadow import Shadow, Told
from .tally import Tally

__all__ = ["CompanyStage", "FakeStage", "NativeStage", "PairedStage", "RealStage", "Stage"]


class Stage:
    """A client, and what is special about its engine.

    Attributes:
        client: Of it.
        picture: An image that it takes.
        sound: A recording that it takes.
        longest: Tokens of a reply at most, None: no limit.
        probed: Tokens of a reply that is compared with another one.
        timeout: Seconds of a turn that is in a hurry.
        keeps: Whether its engine goes back to earlier moments without forgetting them.
        thorough: Whether a turn costs so little that every chat can be looked into after every step.
    """

    client: Client
    picture: Image
    sound: Audio
    longest: int | None = None
    probed: int | None = None
    timeout = 20.0
    keeps = True
    thorough = False

    def let_time_pass(self) -> None:
        """Until the timeout of a turn that has begun is over, if time is real."""

    @contextmanager
    def says(self, script: Sequence[FakeReply]) -> Iterator[None]:
        """Turns in this block get these replies, if replies can be had at will."""
        yield

    @contextmanager
    def holds(self, place: int) -> Iterator[Gate | None]:
        """Turns in this block are held after that many chunks, if they can be."""
        yield None

    def is_live(self, chat: Chat) -> bool:
        """Whether what was said is in the engine's memory, not to be read again with the next turn."""
        return True

    def check_said(self, shadow: Shadow, tools: Toolset, probe: str, reply: str) -> None:
        """Whether what the engine was told for ``probe`` is that history, if it can be known."""

    def check_open(self, chats: int) -> None:
        """Whether there are so many conversations, if it can be known."""

    def keeps_kv(self, chat: Chat) -> bool:
        """Whether a chat that is saved with its KV cache goes on with that."""
        return False

    def note(self, told: Told) -> None:
        """A turn is over."""

    def close(self) -> None:
        """Nothing is used any more."""


def cleaned(message: Message, tools: Toolset) -> Message:
    """A message as the history has it."""
    calls = iter(tools.clean(message.tool_calls))
    return Message(
        message.role, tuple(next(calls) if isinstance(part, ToolCall) else part for part in message.parts)
    )


class FakeStage(Stage):
    """The fake engine: its default reply tells conversations apart."""

    thorough = True

    def __init__(self, context: int, picture: bytes, sound: bytes) -> None:
        self._script: deque[FakeReply] = deque()
        self.engine = FakeEngine(default=self._say, context=context, patience=20)
        self.client = Client(engine=self.engine)
        self._markers = Markers(self.engine.model.control_tokens)
        self.picture, self.sound = Image(picture), Audio(sound)

    def _say(self, messages: tuple[Message, ...], options: TurnOptions) -> FakeReply:
        return self._script.popleft() if self._script else FakeReply(default_reply(messages))

    @contextmanager
    def says(self, script: Sequence[FakeReply]) -> Iterator[None]:
        """One after the other, then the default reply."""
        before, self._script = self._script, deque(script)
        try:
            yield
        finally:
            self._script = before

    @contextmanager
    def holds(self, place: int) -> Iterator[Gate | None]:
        """By a gate."""
        with self.engine.hold(place) as gate:
            yield gate

    def is_live(self, chat: Chat) -> bool:
        """Whether what was said is in the engine's memory, not to be read again with the next turn."""
        return True

    def check_said(self, shadow: Shadow, tools: Toolset, probe: str, reply: str) -> None:
        """The record of the turn, and the reply that is made of it."""
        told = self.engine.turns[-1].messages
        plain = self._markers.neutralise_message
        # What the model itself said is in its context as it said it, and in the history without its quotes.
        assert tuple(plain(cleaned(message, tools)) for message in told[:-1]) == tuple(
            map(plain, shadow.history)
        )
        assert told[-1].text == probe
        assert default_reply(told).startswith(reply)

    def check_open(self, chats: int) -> None:
        """As it counts them."""
        assert self.engine.conversations_open == chats

    def close(self) -> None:
        """All of it must be closed by now."""
        self.engine.assert_all_used()
        self.client.close()


class RealStage(Stage):
    """A real engine and a real model, which stay open."""

    def __init__(self, client: Client, picture: bytes, sound: bytes) -> None:
        self.client = client
        self.picture, self.sound = Image(picture), Audio(sound)

    longest = 12
    probed = 6
    timeout = 0.05
    keeps = False

    def let_time_pass(self) -> None:
        """Wait."""
        threading.Event().wait(self.timeout)

    def is_live(self, chat: Chat) -> bool:
        """An engine that cannot go back forgets, and reads all that is left again."""
        return chat._timeline._conversation.cached_tokens > 0  # type: ignore[attr-defined]


class NativeStage(Stage):
    """Our own engine and a real model, which stay open.

    Args:
        client: Of a model without encoders.
        tally: What comes of turns is counted there.
    """

    longest = 16  # as many as a call of a tool takes
    probed = 6
    timeout = 0.02

    def __init__(self, client: Client, picture: bytes, sound: bytes, tally: Tally) -> None:
        self.client = client
        self.picture, self.sound = Image(picture), Audio(sound)
        self._tally = tally
        self._markers = client._markers

    def let_time_pass(self) -> None:
        """Wait."""
        threading.Event().wait(self.timeout)

    def keeps_kv(self, chat: Chat) -> bool:
        """Unless there is a control marker in a reply, which is neutralised when it is read again."""
        plain = self._markers.neutralise_message
        return all(plain(message) == message for message in chat.history if message.role == "assistant")

    def note(self, told: Told) -> None:
        """Count it."""
        self._tally.add(told)

    def check_open(self, chats: int) -> None:
        """Each chat has a sequence, and nobody else."""
        sequences = self.client._engine.handle._children.values()  # type: ignore[attr-defined]
        assert sum(not sequence.closed for sequence in sequences) == chats


class CompanyStage(NativeStage):
    """The same, which others use, too."""

    def check_open(self, chats: int) -> None:
        """Theirs are not known."""


class PairedStage(NativeStage):
    """The same, beside the official engine for pictures and sound."""

    keeps = False

    def is_live(self, chat: Chat) -> bool:
        """Our own engine never forgets."""
        where = chat._timeline._conversation._where  # type: ignore[attr-defined]
        return getattr(where, "cached_tokens", 1) > 0

    def keeps_kv(self, chat: Chat) -> bool:
        """While it is on our own engine."""
        where = chat._timeline._conversation._where  # type: ignore[attr-defined]
        return not hasattr(where, "cached_tokens") and super().keeps_kv(chat)

    def check_open(self, chats: int) -> None:
        """Not known: a chat that is on the official engine may go back to ours."""
