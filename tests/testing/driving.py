"""Driving an engine by hand, and in other threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from litertlm._engine.seam import Conversation, Delta, Turn, TurnEnd
from litertlm.messages import Message, Text
from litertlm.options import TurnOptions


def user(text: str) -> Message:
    """What a user says."""
    return Message("user", (Text(text),))


def begin(conversation: Conversation, text: str, options: TurnOptions | None = None) -> Turn:
    """A turn that has begun."""
    turn = conversation.prepare(user(text), options or TurnOptions())
    turn.start()
    return turn


def read(turn: Turn) -> tuple[list[Delta], TurnEnd]:
    """All that comes, and the end."""
    deltas: list[Delta] = []
    while turn.end is None:
        deltas += turn.take(None)
    turn.close()
    return deltas, turn.end


def say(
    conversation: Conversation, text: str, options: TurnOptions | None = None
) -> tuple[list[Delta], TurnEnd]:
    """A whole turn."""
    return read(begin(conversation, text, options))


def text_of(deltas: list[Delta]) -> str:
    """What was said."""
    return "".join(delta.text for delta in deltas)


class Outcome:
    """What came of a call in another thread."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._result: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def result(self) -> object:
        """Wait; raises what it raised."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._result
