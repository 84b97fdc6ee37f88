"""Somebody else who uses the same client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from litertlm import Client

__all__ = ["busy"]

ASKED = ("Hello!", "Tell me a story.", "What can you do?")


@contextmanager
def busy(client: Client) -> Iterator[None]:
    """Turns are made in another thread for as long as the block lasts; all get their first reply."""
    over = threading.Event()

    def ask(question: str) -> str:
        with client.chat(sampler={"temperature": 0}, max_output_tokens=12) as chat:
            with chat.send_stream("word " * 100) as left:
                next(left, None)
            return chat.send(question).text

    def go_on() -> None:
        while not over.is_set():
            assert [ask(question) for question in ASKED] == alone

    alone = [ask(question) for question in ASKED]
    with ThreadPoolExecutor(1) as threads:
        going = threads.submit(go_on)
        try:
            yield
        finally:
            over.set()
            going.result()
