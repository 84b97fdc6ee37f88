"""Chats that run in one pass over the weights say what each would say alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from litertlm import Cancelled, Client, ContextOverflow

QUESTIONS = [f"Tell me a story about number {number}." for number in range(12)]


def answer(client: Client, question: str, **sampler: float) -> str:
    """One answer in a chat of its own."""
    reply = client.generate(question, sampler=sampler or {"temperature": 0}, max_output_tokens=32)
    return reply.text


def test_many_chats_at_once_say_what_each_says_alone(native: Client) -> None:
    """Greedy, twelve at once."""
    alone = [answer(native, question) for question in QUESTIONS]
    with ThreadPoolExecutor(len(QUESTIONS)) as threads:
        assert list(threads.map(lambda question: answer(native, question), QUESTIONS)) == alone


def test_a_seed_gives_the_same_text_whatever_else_runs(native: Client) -> None:
    """Sampled, alone and in company."""
    sampler = {"temperature": 4.0, "top_k": 40, "top_p": 0.95, "seed": 7}
    alone = answer(native, QUESTIONS[0], **sampler)
    with ThreadPoolExecutor(6) as threads:
        together = [threads.submit(answer, native, QUESTIONS[0], **sampler)]
        together += [threads.submit(answer, native, question) for question in QUESTIONS[1:6]]
        assert together[0].result() == alone
    assert answer(native, QUESTIONS[0], **(sampler | {"seed": 8})) != alone


def test_cancelling_one_leaves_the_others_alone(native: Client) -> None:
    """Its neighbour in the batch goes on, and it can be used again at once."""
    expected = answer(native, QUESTIONS[1])
    with native.chat() as chat, ThreadPoolExecutor(1) as threads:
        neighbour = threads.submit(answer, native, QUESTIONS[1])
        begun = threading.Event()
        stream = chat.send_stream(QUESTIONS[0], sampler={"temperature": 0})
        with pytest.raises(Cancelled):
            for _ in stream:
                if not begun.is_set():
                    begun.set()
                    chat.cancel()
        assert chat.history == ()
        assert chat.send("Hi", max_output_tokens=4).text
        assert neighbour.result() == expected


def test_the_end_of_the_context_cuts_the_reply(native: Client) -> None:
    """It ends with finish_reason "length", and what does not fit at all is refused before."""
    limit = native.info.max_context
    assert limit is not None
    with native.chat() as chat:
        words = "word " * (limit - 200)
        reply = chat.send(words, sampler={"temperature": 0, "seed": 1}, suppressed_tokens=[])
        assert chat.token_count <= limit
        assert reply.usage.prompt_tokens > limit // 2
        with pytest.raises(ContextOverflow):
            chat.send(words)
