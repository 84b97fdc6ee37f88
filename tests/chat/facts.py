"""What can be seen of a chat, and what a fresh chat that made the same turns shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from litertlm import Audio, Chat, ContextOverflow, Image, Message, Text, ToolResult
from litertlm.tools import Toolset

from .acts import How, Kept, Tools
from .shadow import Shadow
from .stages import Stage

__all__ = ["Facts", "References"]

PROBE = "And what did I say?"


@dataclass(frozen=True)
class Facts:
    """What can be seen of a chat from outside, and what its model says next."""

    history: tuple[object, ...]
    tokens: int
    count: int
    render: str
    answer: object


class References:
    """Facts of chats, and of those that they are compared with.

    Args:
        stage: Where they are had.
        tools: Of all of them.
        open_chat: Opens a chat that begins with a history.
    """

    def __init__(self, stage: Stage, tools: Tools, open_chat: Callable[[tuple[Message, ...]], Chat]) -> None:
        self._stage, self._tools, self._chat = stage, tools, open_chat
        # By the identities of turns, which are kept alive for that.
        self._known: dict[tuple[int, ...], Facts] = {}
        self._keys: list[object] = []

    def expected(self, shadow: Shadow) -> Facts:
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
                self._known[key] = self.found(fresh, shadow)
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

    def found(self, chat: Chat, shadow: Shadow) -> Facts:
        before = chat.token_count
        answer: object
        self._tools.options(How())  # whatever they did in the latest turn
        with chat.fork() as fork, self._stage.says(()):
            try:
                reply = fork.send(PROBE, max_output_tokens=self._stage.probed)
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
