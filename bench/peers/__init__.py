"""Engines to measure, each behind the same small face, each in a process of its own.

A peer is made of a model and a number of threads, and measures: ``measure(prompt, decode)`` returns the
seconds that it took to prefill so many tokens and to decode so many more, in a fresh context.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Measurement", "Peer", "prompt_tokens"]

_seeds = itertools.count()


@dataclass(frozen=True)
class Measurement:
    """Seconds of one run, or rates where an engine tells only those.

    Attributes:
        prefill: Tokens a second.
        decode: Tokens a second.
    """

    prefill: float
    decode: float


class Peer(Protocol):
    """An engine with a model in it."""

    def measure(self, prompt: int, decode: int) -> Measurement:
        """Prefill ``prompt`` tokens, decode ``decode`` more, in a fresh context."""
        ...


def prompt_tokens(count: int, vocabulary: int) -> list[int]:
    """Token ids that mean nothing, never the control tokens that lie at the beginning of a vocabulary.

    Another prompt with every call, so that no engine finds one that it has seen; the same in every process.
    """
    source = random.Random(next(_seeds))
    return [source.randrange(300, min(vocabulary, 10_000)) for _ in range(count)]
