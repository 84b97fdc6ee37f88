"""How soon the caller gets control back after cancelling a turn.

::

    python bench/cancel.py [--times 100] [--model FILE]

A turn is cancelled from another thread, while the engine reads a long prompt and while it writes, with a
plain chat and with asyncio. The figures are milliseconds from the call of ``cancel()`` to the moment in which
the waiting caller runs again with Cancelled, and how long the next turn had to wait for the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from litertlm import Cancelled, Chat, Client, events
from litertlm.bundled import bundled_model
from litertlm.chat.async_chat import AsyncChat

STORY = "Tell me a story."
GREEDY = {"temperature": 0}


def cancelled_after(chat: Chat, message: str, is_time: Callable[[object], bool]) -> float:
    """Seconds from the cancellation to Cancelled; it is cancelled at the first event that fits."""
    reached, at = threading.Event(), [0.0]

    def press() -> None:
        reached.wait()
        at[0] = time.perf_counter()
        chat.cancel()

    presser = threading.Thread(target=press)
    presser.start()
    try:
        for event in chat.send_stream(message).events():
            if is_time(event):
                reached.set()
    except Cancelled:
        return time.perf_counter() - at[0]
    finally:
        reached.set()
        presser.join()
    return float("nan")


async def task_cancelled_after(chat: AsyncChat, message: str, is_time: Callable[[object], bool]) -> float:
    """The same for a task that is cancelled while it waits."""
    loop, reached = asyncio.get_running_loop(), asyncio.Event()

    def watch(event: object) -> None:
        if is_time(event):
            reached.set()

    task = loop.create_task(chat.send(message, on_event=watch))
    await asyncio.wait([task, loop.create_task(reached.wait())], return_when=asyncio.FIRST_COMPLETED)
    at = time.perf_counter()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return time.perf_counter() - at
    return float("nan")


def show(name: str, seconds: list[float], times: int) -> None:
    """One line: median, 95th percentile and maximum in milliseconds."""
    took = sorted(1000 * value for value in seconds if value == value)
    if not took:
        print(f"{name:<24} the turns were over before they could be cancelled")
        return
    high = took[min(len(took) - 1, int(0.95 * len(took)))]
    print(
        f"{name:<24} median {statistics.median(took):6.1f}   95 % {high:6.1f}   maximum {took[-1]:6.1f} ms"
        f"   ({len(took)} of {times})"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()

    def reading(event: object) -> bool:
        return isinstance(event, events.HopStarted)

    def writing(event: object) -> bool:
        return isinstance(event, events.TextDelta)

    with Client(arguments.model or bundled_model(), vision_backend="off", audio_backend="off") as client:
        room = (client.info.max_context or 4096) - 400
        long = "one two three four five six seven eight nine ten " * (room // 20)
        for name, message, is_time in (
            ("reading a long prompt", long, reading),
            ("writing", STORY, writing),
        ):
            with client.chat(sampler=GREEDY) as chat:
                took = [cancelled_after(chat, message, is_time) for _ in range(arguments.times)]
                show(name, took, arguments.times)
                waited = chat.send("Hello!", max_output_tokens=1).timings.queued
                print(f"{'':<24} the next turn waited {1000 * waited:.1f} ms")

                async def tasks(chat: Chat, message: str, is_time: Callable[[object], bool]) -> list[float]:
                    own = AsyncChat(chat)
                    return [await task_cancelled_after(own, message, is_time) for _ in range(arguments.times)]

                show(f"{name}, asyncio", asyncio.run(tasks(chat, message, is_time)), arguments.times)


if __name__ == "__main__":
    main()
