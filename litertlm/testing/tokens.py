"""The tokens of the fake: simple enough to be counted in one's head."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterable, Sequence

__all__ = ["CONTROL_TOKENS", "Tokenizer"]

CONTROL_TOKENS = (
    "<bos>",
    "<|turn>",
    "<turn|>",
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|image|>",
    "<|audio|>",
)
"""What structures the fake's prompts; each is one token."""

# Ids above those of the control tokens, below 2**31.
FIRST_ID = 256
IDS = 2**31 - 1 - FIRST_ID


class Tokenizer:
    """One token for each control token, word, punctuation mark and blank; a blank before a word joins it.

    A word's id is the same in every run, and detokenizing gives the text back.

    Args:
        control_tokens: Texts that are a token each, wherever they stand; their ids count from 0.

    Threads: any.
    """

    def __init__(self, control_tokens: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._texts: dict[int, str] = dict(enumerate(control_tokens))
        self._ids = {text: id for id, text in self._texts.items()}
        longest_first = sorted(self._ids, key=lambda token: (-len(token), token))
        self._pattern = re.compile("|".join([*map(re.escape, longest_first), r" ?\w+", r" ?[^\w\s]", r"\s"]))

    def pieces(self, text: str) -> list[str]:
        """The texts of the tokens; joined, they are ``text``."""
        return self._pattern.findall(text)

    def count(self, text: str) -> int:
        """Number of tokens."""
        return len(self.pieces(text))

    def encode(self, text: str) -> list[int]:
        """The ids of the tokens."""
        with self._lock:
            return [self._id(piece) for piece in self.pieces(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; an id that no text has been given yet means nothing."""
        with self._lock:
            return "".join(self._texts.get(id, "") for id in ids)

    def _id(self, piece: str) -> int:
        known = self._ids.get(piece)
        if known is not None:
            return known
        id = FIRST_ID + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % IDS
        while id in self._texts:
            id = FIRST_ID + (id + 1 - FIRST_ID) % IDS
        self._ids[piece], self._texts[id] = id, piece
        return id
