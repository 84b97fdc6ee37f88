"""Many chats of one client at once: every reply is the one that its chat would have got alone."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from litertlm import AsyncClient, Client
from litertlm.chat.async_chat import AsyncChat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

THREADS, TASKS, TURNS = 8, 50, 2000
PROMPTS = (
    "Hello!",
    "My name is Ada.",
    "What can you do?",
    "What is litertlm?",
    "Tell me a joke.",
    "Goodbye!",
)
SHORT = {"sampler": {"temperature": 0}, "max_output_tokens": 6}


def script(number: int) -> tuple[str, ...]:
    """What the chat of that number says: three prompts, another order for each."""
    orders = list(itertools.permutations(PROMPTS, 3))
    return orders[number % len(orders)]


@pytest.fixture(scope="module")
def alone(client: Client) -> dict[tuple[str, ...], list[str]]:
    """The replies to every script, nothing else running."""
    replies = {}
    for number in range(THREADS + TASKS):
        with client.chat(**SHORT) as chat:  # type: ignore[arg-type]
            replies[script(number)] = [chat.send(prompt).text for prompt in script(number)]
    return replies


def fairness(waits: list[float]) -> str:
    """The longest wait for a reply over the median one."""
    median, longest = statistics.median(waits), max(waits)
    return f"{len(waits)} turns, median {median * 1000:.0f} ms, longest {longest / median:.1f} times that"


def test_threads(client: Client, alone: dict[tuple[str, ...], list[str]]) -> None:
    """Eight threads make a thousand turns, one chat after another."""
    waits: list[float] = []

    def work(number: int) -> None:
        said = script(number)
        for _ in range(TURNS // 2 // THREADS // len(said)):
            with client.chat(**SHORT) as chat:  # type: ignore[arg-type]
                replies = []
                for prompt in said:
                    began = time.monotonic()
                    replies.append(chat.send(prompt).text)
                    waits.append(time.monotonic() - began)
                assert replies == alone[said]

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    print("threads:", fairness(waits))  # noqa: T201


def test_tasks(client: Client, alone: dict[tuple[str, ...], list[str]]) -> None:
    """Fifty tasks of one loop make a thousand turns, some of which are left in the middle."""
    waits: list[float] = []

    async def converse(chat: AsyncChat, said: tuple[str, ...]) -> list[str]:
        replies = []
        for prompt in said:
            async with chat.send_stream("Never mind.") as stream:
                async for _ in stream:
                    break
            began = time.monotonic()
            replies.append((await chat.send(prompt)).text)
            waits.append(time.monotonic() - began)
        return replies

    async def work(opened: AsyncClient, number: int) -> None:
        said = script(THREADS + number)
        for _ in range(TURNS // 2 // TASKS // len(said)):
            async with await opened.chat(**SHORT) as chat:  # type: ignore[arg-type]
                assert await converse(chat, said) == alone[said]

    async def everybody() -> None:
        async with AsyncClient(client.info.path) as opened:
            await asyncio.gather(*(work(opened, number) for number in range(TASKS)))

    asyncio.run(everybody())
    print("tasks:", fairness(waits))  # noqa: T201
