"""How soon a cancelled turn is over, for the caller and for the engine.

::

    python bench/cancel.py [--times 500] [--model FILE] [--prompt 1500] [--threads N] [--seed 0]

A turn is cancelled from a second thread, at a random moment while the engine reads a prompt of ``--prompt``
tokens (fewer, if the model holds fewer), and at a random moment while it writes; with a plain chat, and with
asyncio, where its task is cancelled. Every prompt is another one, so that nothing of it is found in the KV
cache. Milliseconds from the call of ``cancel()``:

- caller: until the waiting caller runs again, with Cancelled;
- engine: until nothing of the turn is computed any more, as our own engine notes it on the same clock.

What ended before it was cancelled, or was cancelled in the other phase, is not counted, and repeated, a few
times at most.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import message_of

from litertlm import Cancelled, Chat, Client, events
from litertlm._engine.native.generation import Generation
from litertlm.bundled import bundled_model
from litertlm.chat.async_chat import AsyncChat

STORY = "Tell me a story."
TOKENS = 64  # of a story that is not cancelled
ATTEMPTS = 3  # so many times the turns that are wanted, at most


@dataclass
class Latencies:
    """Milliseconds, one for each cancelled turn.

    Attributes:
        caller: Until its caller ran again.
        engine: Until nothing of it was computed.
    """

    caller: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[list[Generation]]:
    """The latest generation that our own engine was given, in a list of its own."""
    latest: list[Generation] = []
    start = Generation.start

    def watch(generation: Generation, *arguments: Any) -> None:
        latest[:] = [generation]
        start(generation, *arguments)

    Generation.start = watch  # type: ignore[method-assign]
    try:
        yield latest
    finally:
        Generation.start = start  # type: ignore[method-assign]


def cancelled(chat: Chat, message: str, begun: Callable[[object], bool], delay: float) -> tuple[int, int]:
    """When it was cancelled, so long after it had begun, and when the caller ran again; 0: it was over."""
    reached, at = threading.Event(), 0

    def press() -> None:
        nonlocal at
        reached.wait()
        time.sleep(delay)
        at = time.perf_counter_ns()
        chat.cancel()

    presser = threading.Thread(target=press)
    presser.start()
    back = 0
    try:
        for event in chat.send_stream(message).events():
            if begun(event):
                reached.set()
    except Cancelled:
        back = time.perf_counter_ns()
    reached.set()
    presser.join()
    return at, back


async def task_cancelled(
    chat: AsyncChat, message: str, begun: Callable[[object], bool], delay: float
) -> tuple[int, int]:
    """The same for a task that is cancelled while it waits."""
    reached = asyncio.Event()

    def watch(event: object) -> None:
        if begun(event):
            reached.set()

    task = asyncio.create_task(chat.send(message, on_event=watch))
    task.add_done_callback(lambda _: reached.set())
    await reached.wait()
    await asyncio.sleep(delay)
    at = time.perf_counter_ns()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return at, time.perf_counter_ns()
    return at, 0


def show(name: str, latencies: Latencies) -> None:
    """Two rows of the table."""
    for who, took in (("caller", latencies.caller), ("engine", latencies.engine)):
        if not took:
            print(f"| {name} | {who} | the turns were over too early | | | | 0 |", flush=True)
            continue
        took.sort()
        marks = [took[min(len(took) - 1, int(share * len(took)))] for share in (0.95, 0.99)]
        figures = (statistics.median(took), *marks, took[-1])
        print(
            f"| {name} | {who} | {' | '.join(f'{each:.1f}' for each in figures)} | {len(took)} |", flush=True
        )


class Phase:
    """Turns that are cancelled while the engine reads, or while it writes.

    Args:
        chat: Whose turns they are.
        latest: The generation of the latest turn.
        begun: Whether an event shows that it reads, or writes.
        reads: Which of the two.
        within: Cancelled in so many seconds after that at the latest.
        messages: To send, one after the other.
        dice: Chooses the moments.
    """

    def __init__(
        self,
        chat: Chat,
        latest: list[Generation],
        begun: Callable[[object], bool],
        *,
        reads: bool,
        within: float,
        messages: Iterator[str],
        dice: random.Random,
    ) -> None:
        self.chat, self._begun, self._messages = chat, begun, messages
        self._latest, self._reads, self._within, self._dice = latest, reads, within, dice

    def plain(self, times: int) -> Latencies:
        """With the plain chat."""
        found = Latencies()
        for _ in range(ATTEMPTS * times):
            if len(found.caller) < times:
                self._note(found, *cancelled(self.chat, *self._next()))
        return found

    async def in_tasks(self, times: int) -> Latencies:
        """With asyncio."""
        found, chat = Latencies(), AsyncChat(self.chat)
        for _ in range(ATTEMPTS * times):
            if len(found.caller) < times:
                self._note(found, *await task_cancelled(chat, *self._next()))
        return found

    def _next(self) -> tuple[str, Callable[[object], bool], float]:
        return next(self._messages), self._begun, self._dice.uniform(0, self._within)

    def _note(self, found: Latencies, at: int, back: int) -> None:
        progress = self._latest[0].progress
        if back and progress.ended_ns >= at and (progress.first_token_ns == 0) == self._reads:
            found.caller.append((back - at) / 1e6)
            found.engine.append((progress.ended_ns - at) / 1e6)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--prompt", type=int, default=1500, help="tokens")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with (
        Client(
            arguments.model or bundled_model(),
            engine="native",
            threads=arguments.threads,
            vision_backend="off",
            audio_backend="off",
        ) as client,
        client.chat(sampler={"temperature": 0}) as chat,
        watched() as latest,
    ):
        prompt = min(arguments.prompt, (client.info.max_context or 4096) - 128)
        long = message_of(prompt, 0, chat.count)
        # Each differs from all others at its beginning.
        prompts = (f"{number:06}{long[3:]}" for number in itertools.count(1))
        timings = chat.send(next(prompts), max_output_tokens=1).timings
        chat.undo()
        story = chat.send(STORY, max_output_tokens=TOKENS).timings
        chat.undo()
        reading = Phase(
            chat,
            latest,
            lambda event: isinstance(event, events.HopStarted),
            reads=True,
            within=timings.time_to_first_token,
            messages=prompts,
            dice=dice,
        )
        writing = Phase(
            chat,
            latest,
            lambda event: isinstance(event, events.TextDelta),
            reads=False,
            within=story.total - story.time_to_first_token,
            messages=itertools.repeat(STORY),
            dice=dice,
        )
        print(
            f"a prompt of {prompt} tokens, read in {timings.time_to_first_token:.2f} s when nothing stops it"
        )
        print("| while it | until | median, ms | 95 % | 99 % | maximum | turns |")
        print("|---|---|---|---|---|---|---|")
        for name, phase in (("reads", reading), ("writes", writing)):
            show(name, phase.plain(arguments.times))
            show(f"{name}, asyncio", asyncio.run(phase.in_tasks(arguments.times)))


if __name__ == "__main__":
    main()
