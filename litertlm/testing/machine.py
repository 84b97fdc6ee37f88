"""What the parts of a fake engine share: one lock, one queue, the script and the records."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from litertlm._engine.turns import TurnQueue
from litertlm.errors import ClosedError
from litertlm.messages import Message
from litertlm.options import TurnOptions
from litertlm.testing.prompts import default_reply
from litertlm.testing.records import TurnRecord
from litertlm.testing.script import FakeReply, Gate, Responder, ScriptError
from litertlm.testing.tokens import Tokenizer

if TYPE_CHECKING:
    from litertlm.testing.conversation import FakeConversation

__all__ = ["Entry", "Machine", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """As given to :class:`litertlm.testing.FakeEngine`."""

    strict: bool
    context: int
    image_tokens: int
    audio_tokens: int
    modalities: tuple[str, ...]
    options: frozenset[str]
    real_time: bool
    patience: float
    default: Responder | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the script."""

    reply: FakeReply | Responder
    gate: Gate


class Machine:
    """State of one fake engine.

    ``changed`` guards everything here and in its conversations and turns. Nobody who holds it waits for
    ``queue``, whose own lock is held while a turn is asked whether it is over.
    """

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.changed = threading.Condition(threading.RLock())
        self.queue = TurnQueue()
        self.closed = False
        self.script: deque[Entry] = deque()
        self.holds: list[Gate] = []
        self.records: list[TurnRecord] = []
        self.open: dict[int, Callable[[], FakeConversation | None]] = {}
        self._conversations = 0

    def check_open(self) -> None:
        """Raises ClosedError if the engine is closed."""
        if self.closed:
            raise ClosedError("The client is closed")

    def register(self, conversation: Callable[[], FakeConversation | None]) -> int:
        """The number of a new conversation; it is referred to weakly, so a lost one still counts as open."""
        with self.changed:
            self.check_open()
            self._conversations += 1
            self.open[self._conversations] = conversation
            return self._conversations

    def record(self, record: TurnRecord) -> int:
        """Its place among the records."""
        self.records.append(record)
        return len(self.records) - 1

    def amend(self, place: int, **changes: Any) -> None:
        """What has become of a turn."""
        self.records[place] = replace(self.records[place], **changes)

    def next_reply(self, messages: tuple[Message, ...], options: TurnOptions) -> tuple[FakeReply, list[Gate]]:
        """What the next turn says, and the gates that it has to pass. Without the lock: it runs user code.

        Raises:
            ScriptError: Nothing is enqueued, and the engine is strict.
        """
        with self.changed:
            gates = list(self.holds)
            entry = self.script.popleft() if self.script else None
        if entry is not None:
            gates.append(entry.gate)
        source = entry.reply if entry is not None else self.settings.default
        if source is None:
            if self.settings.strict:
                raise ScriptError(
                    f"Nothing is enqueued for this turn, which asks {messages[-1].text!r}. "
                    "Enqueue a reply before, or make the engine without strict=True."
                )
            return FakeReply(default_reply(messages)), gates
        said = source if isinstance(source, FakeReply) else source(messages, options)
        return (FakeReply(said) if isinstance(said, str) else said), gates

    def close(self) -> None:
        """Close the conversations, newest first, which stops what runs in them."""
        with self.changed:
            if self.closed:
                return
            self.closed = True
            conversations = [reference() for _, reference in sorted(self.open.items(), reverse=True)]
        for conversation in conversations:
            if conversation is not None:
                conversation.close()
        with self.changed:
            self.open.clear()
            self.changed.notify_all()
