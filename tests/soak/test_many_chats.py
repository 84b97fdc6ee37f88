"""Many chats of one client at once: every reply is the one that its chat would have got alone."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from litertlm import Client, Message
from litertlm.chat.async_chat import AsyncChat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

THREADS, TASKS, TURNS = 8, 50, 2000
# Turns of each, so that all of them are busy until the end.
OF_A_THREAD, OF_A_TASK = 50, 32
PROMPTS = (
    "Hello!",
    "My name is Ada.",
    "What can you do?",
    "What is litertlm?",
    "Tell me a joke.",
    "Goodbye!",
)
# How long anybody waits, in medians. On the official engine it is first come, first served: between two turns
# of one chat everybody else has one. On ours all run at once, and the interpreter says who reads when.
LONGEST = {"litert": 5, "native": 10}
SHORT = {"sampler": {"temperature": 0}, "max_output_tokens": 6}


def script(number: int) -> tuple[str, ...]:
    """What the chat of that number says: three prompts, another order for each."""
    orders = list(itertools.permutations(PROMPTS, 3))
    return orders[number % len(orders)]


@pytest.fixture(scope="module", params=["native", "litert"])
def client(request: pytest.FixtureRequest, model_path: Path) -> Iterator[Client]:
    """On either engine."""
    with Client(model_path, engine=request.param, vision_backend="off", audio_backend="off") as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(client: Client) -> dict[tuple[str, ...], list[str]]:
    """The replies to every script, nothing else running."""
    replies = {}
    for number in range(THREADS + TASKS):
        with client.chat(**SHORT) as chat:  # type: ignore[arg-type]
            replies[script(number)] = [chat.send(prompt).text for prompt in script(number)]
    return replies


class Turns:
    """Turns that were made, and how long each took to be answered."""

    def __init__(self, alone: dict[tuple[str, ...], list[str]]) -> None:
        self._alone = alone
        self.waits: list[float] = []

    def chats(self, number: int, turns: int) -> Iterator[tuple[str, ...]]:
        """What is said in one chat after another, until there have been so many turns."""
        said = script(number)
        while turns > 0:
            yield said[:turns]
            turns -= len(said)

    def check(self, said: tuple[str, ...], replies: list[str], history: tuple[Message, ...]) -> None:
        """Each reply is the one that the chat gets alone, and everything is in it once and in order."""
        expected = next(texts for whole, texts in self._alone.items() if whole[: len(said)] == said)
        assert replies == expected[: len(said)]
        kept = [message.text for message in history]
        assert kept == [text for turn in zip(said, replies, strict=True) for text in turn]

    def __str__(self) -> str:
        median, longest = statistics.median(self.waits), max(self.waits)
        return (
            f"{len(self.waits)} turns, median {median * 1000:.0f} ms, longest {longest * 1000:.0f} ms, "
            f"{longest / median:.1f} times the median"
        )


def in_a_thread(client: Client, turns: Turns, number: int, count: int) -> None:
    """So many turns, in one chat after another."""
    for said in turns.chats(number, count):
        with client.chat(**SHORT) as chat:  # type: ignore[arg-type]
            replies = []
            for prompt in said:
                began = time.monotonic()
                replies.append(chat.send(prompt).text)
                turns.waits.append(time.monotonic() - began)
            turns.check(said, replies, chat.history)


async def in_a_task(client: Client, turns: Turns, number: int, count: int) -> None:
    """The same; and now and then a turn that is left in the middle, which does not count."""
    for said in turns.chats(number, count):
        async with AsyncChat(await asyncio.to_thread(lambda: client.chat(**SHORT))) as chat:  # type: ignore[arg-type]
            replies = []
            async with chat.send_stream("Never mind.") as stream:
                async for _ in stream:
                    break
            for prompt in said:
                began = time.monotonic()
                replies.append((await chat.send(prompt)).text)
                turns.waits.append(time.monotonic() - began)
            turns.check(said, replies, chat.history)


def test_two_thousand_turns(client: Client, alone: dict[tuple[str, ...], list[str]]) -> None:
    """By threads and by the tasks of a loop, at once on one client; none is lost, nobody waits long."""
    threads, tasks = Turns(alone), Turns(alone)

    async def everybody() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(
                *(
                    loop.run_in_executor(pool, in_a_thread, client, threads, number, OF_A_THREAD)
                    for number in range(THREADS)
                ),
                *(in_a_task(client, tasks, THREADS + number, OF_A_TASK) for number in range(TASKS)),
            )

    began = time.monotonic()
    asyncio.run(everybody())
    print(f"\nthreads: {threads}\ntasks: {tasks}\nin all: {time.monotonic() - began:.0f} s")  # noqa: T201
    assert len(threads.waits) + len(tasks.waits) == TURNS
    both = Turns(alone)
    both.waits = threads.waits + tasks.waits
    print(f"both: {both}")  # noqa: T201
    assert max(both.waits) < LONGEST[client.info.engine] * statistics.median(both.waits)
