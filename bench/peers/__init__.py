"""Engines to measure, each behind the same small faces, each in a process of its own (:mod:`peers.worker`).

A :class:`Peer` prefills and decodes so many tokens; :class:`Chats` holds and answers several chats.
"""

from __future__ import annotations

import bisect
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Answer", "Chats", "Measurement", "Peer", "at_once", "longest", "message_of", "prompt_tokens"]

_seeds = itertools.count()


@dataclass(frozen=True)
class Measurement:
    """Rates of one run.

    Attributes:
        prefill: Tokens a second.
        decode: Tokens a second.
    """

    prefill: float
    decode: float


@dataclass(frozen=True)
class Answer:
    """What one of several chats got that all asked at the same moment.

    Attributes:
        tokens: So many were written.
        seconds: Until the last of them was there.
    """

    tokens: int
    seconds: float


class Peer(Protocol):
    """An engine with a model in it."""

    def measure(self, prompt: int, decode: int) -> Measurement:
        """Prefill ``prompt`` tokens, decode ``decode`` more, in a fresh context."""
        ...


class Chats(Protocol):
    """An engine with a model in it that has chats; those that are not asked for are not there."""

    def together(self, count: int, prompt: int, tokens: int) -> list[Answer]:
        """So many new chats get a prompt of ``prompt`` tokens at the same moment; each writes ``tokens``."""
        ...

    def hold(self, count: int, prompt: int) -> list[int]:
        """Open so many chats, each of which reads a prompt of ``prompt`` tokens and stays open.

        Returns:
            Tokens that each of them holds.
        """
        ...


def prompt_tokens(count: int, vocabulary: int) -> list[int]:
    """Token ids that mean nothing, never the control tokens that lie at the beginning of a vocabulary.

    Another prompt with every call, so that no engine finds one that it has seen; the same in every process.
    """
    source = random.Random(next(_seeds))
    return [source.randrange(300, min(vocabulary, 10_000)) for _ in range(count)]


def message_of(tokens: int, number: int, count: Callable[[str], int]) -> str:
    """A message that makes a prompt of so many tokens; those of different numbers part at their beginning.

    Args:
        tokens: Of the whole prompt, with what the chat template puts around the message.
        number: Which one.
        count: Tokens of the prompt that a message makes.
    """
    return longest(tokens, lambda words: f"{number:03}{' word' * words}", count)


def longest(tokens: int, text: Callable[[int], str], count: Callable[[str], int]) -> str:
    """The text of the most words, at least of one, that makes no more than so many tokens.

    Args:
        tokens: At most.
        text: One of so many words.
        count: How many tokens it makes.
    """
    words = bisect.bisect_right(range(1, tokens + 1), tokens, key=lambda words: count(text(words)))
    return text(max(words, 1))


def at_once(asks: Sequence[Callable[[], int]]) -> list[Answer]:
    """Call all of them at the same moment, each in a thread; each returns how many tokens were written.

    Raises:
        Exception: What one of them raised, when all are over.
    """
    gate = threading.Barrier(len(asks))

    def run(ask: Callable[[], int]) -> Answer:
        gate.wait()
        began = time.perf_counter()
        return Answer(ask(), time.perf_counter() - began)

    with ThreadPoolExecutor(len(asks)) as threads:
        return list(threads.map(run, asks))
