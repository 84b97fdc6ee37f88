"""How likely the fake finds what it says: made up, and the same in every run."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from litertlm.messages import TokenLogprob
from litertlm.testing.tokens import Tokenizer

__all__ = ["logprob_of", "logprobs_of"]


def logprob_of(text: str) -> float:
    """Of the last token of a text: from -5 to -1, depending on all of it."""
    return -1.0 - 4.0 * zlib.crc32(text.encode("utf-8", "surrogatepass")) / 2**32


def logprobs_of(
    pieces: Iterable[str], before: str, tokenizer: Tokenizer, alternatives: int
) -> tuple[TokenLogprob, ...]:
    """Tokens that come one after the other.

    Args:
        pieces: Their texts.
        before: What was said before them.
        tokenizer: Knows their ids.
        alternatives: How many of the likeliest stand beside each: itself, and then made-up words.
    """

    def token(text: str, value: float, beside: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        return TokenLogprob(tokenizer.encode(text)[0], text.encode("utf-8", "surrogatepass"), value, beside)

    told: list[TokenLogprob] = []
    for piece in pieces:
        before += piece
        value = logprob_of(before)
        likeliest = [piece, *(f" other{number}" for number in range(1, alternatives))][:alternatives]
        beside = tuple(token(text, value - rank) for rank, text in enumerate(likeliest))
        told.append(token(piece, value, beside))
    return tuple(told)
