"""The states that a chat goes through, and the way back to each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from litertlm._engine.seam import Conversation, Engine, Mark, Preface, Turn
from litertlm.errors import MessageError
from litertlm.messages import Message, Usage
from litertlm.options import TurnOptions
from litertlm.templates import Markers

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["State", "Timeline", "first_state", "state_at", "state_before"]


@dataclass(frozen=True, slots=True)
class State:
    """One moment of a chat, between two turns.

    Attributes:
        history: What has been said.
        usage: Tokens of all turns so far.
        before: The moment before the latest turn; None at the beginning.
        message: What the user said in the latest turn; None at the beginning.
        where: The conversation that was in this state; None: of another process.
        at: The mark of it there.
        token_count: Tokens of the conversation; 0 when it has to be read again and nobody knows.
    """

    history: tuple[Message, ...]
    usage: Usage
    before: State | None
    message: Message | None
    where: Conversation | None
    at: Mark | None
    token_count: int = 0


def state_before(state: State, turns: int) -> State:
    """The state that many turns earlier.

    Raises:
        MessageError: There were not as many.
    """
    earlier: State | None = state if turns >= 0 else None
    for _ in range(turns):
        earlier = earlier.before if earlier else None
    if earlier is None:
        raise MessageError(f"There are not {turns} turns to go back")
    return earlier


def first_state(state: State) -> State:
    """The state before any turn."""
    while state.before is not None:
        state = state.before
    return state


def state_at(state: State, index: int) -> State:
    """The state after the turn that began with message ``index``.

    Raises:
        MessageError: No turn began with it.
    """
    history = state.history
    if not -len(history) <= index < len(history):
        raise MessageError(f"There is no message {index}; there are {len(history)}")
    later: State | None = state
    while later is not None and later.message is not history[index]:
        later = later.before
    if later is None:
        raise MessageError(
            f"No turn began with message {index}", hint="Name a message that the user sent in this chat."
        )
    return later


class Timeline:
    """One line of conversation: the engine's conversation and the states it has been in.

    The conversation is replaced when earlier messages are taken out of it; states of a replaced one are
    gone back to by opening another with their history. The one of the current state is closed only when a
    turn in its successor has been kept, so that a turn that fails finds it as it was. What enters the engine
    is neutralised here, so the history keeps every character as it was typed.

    Threads: one at a time.
    """

    def __init__(
        self,
        engine: Engine,
        preface: Preface,
        markers: Markers,
        *,
        conversation: Conversation | None = None,
        state: State | None = None,
    ) -> None:
        """Start from ``preface``, or from a state of a conversation that nobody else uses."""
        self._engine = engine
        self._preface = preface
        self._markers = markers
        self._conversation = conversation or self._open(preface.messages)
        # One object, so that keeping a turn is one assignment that nothing can interrupt halfway.
        self._state = state or State(
            preface.messages, Usage(), None, None, self._conversation, self._conversation.mark()
        )

    @property
    def state(self) -> State:
        """Where the chat is."""
        return self._state

    @property
    def preface(self) -> Preface:
        """What it began with."""
        return self._preface

    @property
    def engine(self) -> Engine:
        """The engine behind it."""
        return self._engine

    @property
    def token_count(self) -> int:
        """Tokens of the conversation, as of the latest turn."""
        return self._state.token_count

    @property
    def prefilled(self) -> int:
        """Tokens of the engine's conversation now: 0 after it was made anew, until a turn prefills it."""
        return self._conversation.token_count

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` now would add to :attr:`token_count`."""
        return max(1, self.prefilled + self.count_prefill(message) - self.token_count)

    def count_prefill(self, message: Message) -> int:
        """Tokens that sending ``message`` now would prefill; after :attr:`prefilled` ones."""
        return self._conversation.count(self._markers.neutralise_message(message))

    def render(self, message: Message) -> str:
        """The text that sending ``message`` now would prefill."""
        return self._conversation.render(self._markers.neutralise_message(message))

    def prepare(self, message: Message, options: TurnOptions) -> Turn:
        """A turn that has not begun."""
        return self._conversation.prepare(self._markers.neutralise_message(message), options)

    def mark(self) -> Mark:
        """A point to come back to within a turn."""
        return self._conversation.mark()

    def rewind(self, mark: Mark) -> None:
        """Go back to a point within the running turn."""
        self._conversation.rewind(mark)

    def next_state(
        self, history: tuple[Message, ...], usage: Usage, before: State | None, message: Message | None
    ) -> State:
        """The state after a turn that ended well; it takes effect with :meth:`keep`."""
        conversation = self._conversation
        return State(
            history, usage, before, message, conversation, conversation.mark(), conversation.token_count
        )

    def keep(self, state: State) -> None:
        """The chat is in ``state`` now."""
        old, self._state = self._state.where, state
        if old is not None and old is not self._conversation:
            old.close()

    def set_out(self, state: State) -> None:
        """Make the conversation what it was in ``state``, for a turn that is not kept yet."""
        if state.where is self._conversation and state.at is not None:
            self._conversation.rewind(state.at)
        else:
            self.replace(state.history)

    def go_to(self, state: State) -> None:
        """Make the conversation what it was in ``state``, and stay there. May be repeated if interrupted."""
        self.set_out(state)
        if state.where is not self._conversation:
            state = replace(state, where=self._conversation, at=self._conversation.mark())
        self.keep(state)

    def restore(self) -> None:
        """Make the conversation what it is in the current state. May be repeated when it was interrupted."""
        where, at = self._state.where, self._state.at
        assert where is not None
        assert at is not None
        working, self._conversation = self._conversation, where
        if working is not where:
            working.close()
        where.rewind(at)

    def replace(self, history: Iterable[Message]) -> None:
        """Go on in a conversation in which ``history`` was said, for a turn that is not kept yet."""
        fresh = self._open(tuple(history))
        old, self._conversation = self._conversation, fresh
        if old is not self._state.where:
            old.close()

    @contextmanager
    def aside(self, history: Iterable[Message]) -> Iterator[Conversation]:
        """Another conversation in which ``history`` was said, for as long as the block lasts."""
        conversation = self._open(tuple(history))
        try:
            yield conversation
        finally:
            conversation.close()

    def measure(self, history: Iterable[Message], message: Message) -> int:
        """Tokens in all, if ``message`` were sent after ``history``."""
        with self.aside(history) as conversation:
            return conversation.token_count + conversation.count(self._markers.neutralise_message(message))

    def fork(self) -> Timeline:
        """An independent one in the same state."""
        forked = self._conversation.fork()
        state = replace(self._state, where=forked, at=forked.mark())
        return Timeline(self._engine, self._preface, self._markers, conversation=forked, state=state)

    @classmethod
    def restored(
        cls, engine: Engine, preface: Preface, markers: Markers, state: Callable[[Conversation], State]
    ) -> Timeline:
        """Go on where another one was; ``preface`` holds all that was said."""
        timeline = cls(engine, preface, markers)
        timeline._state = state(timeline._conversation)
        return timeline

    def prefill(self) -> None:
        """Begin to compute what was said so far, in the background."""
        self._conversation.prefill()

    def save_kv(self) -> Buffer | None:
        """What is in the KV cache, for :meth:`restore_kv`."""
        return self._conversation.save_kv()

    def restore_kv(self, state: Buffer) -> bool:
        """Have that in the KV cache; whether it fits. Of a timeline on which no turn was made."""
        if not self._conversation.restore_kv(state):
            return False
        self._state = replace(self._state, at=self._conversation.mark())
        return True

    def close(self) -> None:
        """Free the KV cache. Idempotent."""
        self._conversation.close()
        if self._state.where is not None:
            self._state.where.close()

    def _open(self, history: tuple[Message, ...]) -> Conversation:
        messages = tuple(self._markers.neutralise_message(message) for message in history)
        return self._engine.open(replace(self._preface, messages=messages))
