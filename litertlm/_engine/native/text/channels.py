"""A reply as it comes: what is answer, what is thinking, what is a tool call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from litertlm._engine.native.text.pieces import Called, Malformed, Piece, Said, Thought
from litertlm._engine.native.text.toolcalls import Fences, MalformedCallError
from litertlm.modelfile.text_format import Channel

__all__ = ["ReplyParser", "open_channel"]


@dataclass(frozen=True, slots=True)
class _Block:
    """Something between two fences; a tool call if ``fences`` is there, else a channel of that name."""

    start: str
    end: str
    name: str = ""
    fences: Fences | None = None


class ReplyParser:
    """Takes the text of one reply piece by piece.

    Nothing is given out that may yet turn out to be the beginning of a fence. A call is given out when it is
    complete. At the end, a channel that was not closed is closed, and a call that was not is text.

    Args:
        channels: The model's; those without a fence never occur.
        fences: Of tool calls; None: they are text.
        inside: Name of the channel in which the reply begins, "" for none.
    """

    def __init__(self, channels: Sequence[Channel], fences: Fences | None, inside: str = "") -> None:
        calls = [_Block(fences.start, fences.end, fences=fences)] if fences else []
        self._blocks = calls + [_Block(each.start, each.end, each.name) for each in channels if each.start]
        opened = [block for block in self._blocks if inside and block.name == inside]
        self._block: _Block | None = opened[0] if opened else None
        # What came and is not given out yet; inside a call, what stands between its fences so far.
        self._held = ""
        # So much of it was searched for the end of a call.
        self._searched = 0

    @property
    def channel_end(self) -> str:
        """What ends the channel that the reply is in; "" outside of channels."""
        block = self._block
        return block.end if block is not None and block.fences is None else ""

    def feed(self, text: str) -> list[Piece]:
        """What can be given out now."""
        self._held += text
        pieces: list[Piece] = []
        while self._held and (self._step_inside if self._block else self._step_outside)(pieces):
            pass
        return pieces

    def finish(self) -> list[Piece]:
        """What was held back, now that nothing follows."""
        block, held = self._block, self._held
        self._block, self._held = None, ""
        if block is not None and block.fences:
            return [Said(block.start + held)]
        return _text(held, block)

    def _step_outside(self, pieces: list[Piece]) -> bool:
        """Go up to the next fence; whether there is one."""
        places = [(place, block) for block in self._blocks if (place := self._held.find(block.start)) >= 0]
        if not places:
            keep = max((_overlap(self._held, block.start) for block in self._blocks), default=0)
            pieces += _text(self._held[: len(self._held) - keep], None)
            self._held = self._held[len(self._held) - keep :]
            return False
        place, self._block = min(places, key=lambda found: found[0])
        pieces += _text(self._held[:place], None)
        self._held, self._searched = self._held[place + len(self._block.start) :], 0
        return True

    def _step_inside(self, pieces: list[Piece]) -> bool:
        """Go up to the end of the block; whether it is there."""
        block = self._block
        assert block is not None
        place = self._held.find(block.end, max(0, self._searched - len(block.end))) if block.end else -1
        if place >= 0:
            inside, self._held = self._held[:place], self._held[place + len(block.end) :]
            self._block = None
            pieces += _calls(inside, block.fences) if block.fences else _text(inside, block)
            return True
        if block.fences:
            self._searched = len(self._held)
        else:
            shown = len(self._held) - _overlap(self._held, block.end)
            pieces += _text(self._held[:shown], block)
            self._held = self._held[shown:]
        return False


def open_channel(prompt: str, channels: Sequence[Channel]) -> str:
    """The channel that a prompt begins and does not end, in which the reply goes on; "" for none."""
    opened = [
        (start, each.name)
        for each in channels
        if each.start
        and (start := prompt.rfind(each.start)) >= 0
        and (not each.end or start > prompt.rfind(each.end))
    ]
    return max(opened, key=lambda found: found[0])[1] if opened else ""


def _text(text: str, block: _Block | None) -> list[Piece]:
    if not text:
        return []
    return [Thought(text, block.name) if block else Said(text)]


def _calls(code: str, fences: Fences) -> list[Piece]:
    try:
        return [Called(name, arguments) for name, arguments in fences.read(code)]
    except MalformedCallError as error:
        return [Malformed(fences.start + code + fences.end, str(error))]


def _overlap(text: str, fence: str) -> int:
    """Length of the longest end of ``text`` with which ``fence`` begins."""
    for length in range(min(len(text), len(fence) - 1), 0, -1):
        if fence.startswith(text[-length:]):
            return length
    return 0
