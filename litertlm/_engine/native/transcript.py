"""What a conversation's prompts and replies were, as text and as token ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Passage", "Transcript"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, and the ids that stand for it in the KV cache."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """Passages one after the other: prompts, which were encoded, and replies, which were decoded.

    A reply's text may have more than one way to be encoded. As long as later prompts begin with the same
    text, the ids that the model itself wrote stay, and so does their KV.
    """

    passages: tuple[Passage, ...] = ()

    @property
    def length(self) -> int:
        """Tokens in all."""
        return sum(len(passage.ids) for passage in self.passages)

    @property
    def ids(self) -> list[int]:
        """All ids."""
        return [token for passage in self.passages for token in passage.ids]

    @property
    def text(self) -> str:
        """All text."""
        return "".join(passage.text for passage in self.passages)

    def followed_by(self, passage: Passage) -> Transcript:
        """One passage longer."""
        return Transcript((*self.passages, passage))

    def matching(self, text: str) -> tuple[Transcript, str]:
        """The passages that ``text`` begins with, and the rest of it."""
        at = count = 0
        for passage in self.passages:
            if not text.startswith(passage.text, at):
                break
            at += len(passage.text)
            count += 1
        return Transcript(self.passages[:count]), text[at:]

    def extended_to(self, text: str, encode: Callable[[str], list[int]]) -> Transcript:
        """The transcript of ``text``, with as much of this one as it begins with."""
        kept, rest = self.matching(text)
        return kept.followed_by(Passage(rest, tuple(encode(rest)))) if rest else kept
