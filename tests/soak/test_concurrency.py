"""Chats of one client in several threads answer as they would alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from litertlm import Client

SCRIPTS = (
    ("Hello!", "What can you do?", "Thank you."),
    ("What is litertlm?", "Who made you?", "Goodbye!"),
    ("Tell me a story.", "And another one.", "What is 2 plus 3?"),
    ("My name is Ada.", "What is my name?", "Hello again!"),
)
THREADS = len(SCRIPTS)
ROUNDS = 3


def converse(client: Client, script: tuple[str, ...]) -> list[str]:
    """The replies to a script in a chat of its own; the turn before each is begun and left."""
    replies = []
    with client.chat(sampler={"temperature": 0}, max_output_tokens=16) as chat:
        for prompt in script:
            with chat.send_stream("Never mind.") as stream:
                next(stream, None)
            with chat.send_stream(prompt) as stream:
                for chunk in stream:
                    if chunk.reply:
                        replies.append(chunk.reply.text)
    return replies


@pytest.mark.timeout(300)
def test_threads_do_not_mix_replies(client: Client) -> None:
    """Four threads with a chat each, whose turns interleave, hear what each chat hears alone."""
    alone = [converse(client, script) for script in SCRIPTS]
    assert all(len(replies) == len(script) for replies, script in zip(alone, SCRIPTS, strict=True))
    together = threading.Barrier(THREADS)

    def begin(script: tuple[str, ...]) -> list[str]:
        together.wait(timeout=60)
        return converse(client, script)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(ROUNDS):
            assert list(pool.map(begin, SCRIPTS)) == alone
