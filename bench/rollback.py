"""What it costs that a failed turn leaves no trace.

::

    python bench/rollback.py [--turns 12] [--rounds 5] [--model FILE]

Nothing is copied before a turn, so one that ends well should cost what it costs without the promise: the
turns of a chat are compared with those of the official binding, which promises nothing. A turn that is left
is paid for by the next one, which reads the conversation again: it is compared with the same turn when
nothing had been left. All in one run, the contenders taking turns; one engine thread, greedy.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from litertlm import Chat, Client
from litertlm.bundled import bundled_model

try:
    import litert_lm as official
except ImportError:
    official = None

PROMPTS = ("Hello!", "What can you do?", "What is litertlm?", "Tell me a joke.")
LEFT = "Tell me a story."


def clocked(turn: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    turn()
    return 1000 * (time.perf_counter() - began)


def leave(chat: Chat) -> None:
    """Begin a turn, and leave it at its first word."""
    with chat.send_stream(LEFT) as stream:
        next(stream)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--turns", type=int, default=12, help="of one conversation")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    model = str(arguments.model or bundled_model())
    prompts = [PROMPTS[number % len(PROMPTS)] for number in range(arguments.turns)]
    plain: list[float] = []
    bare: list[float] = []
    leaving: list[float] = []
    afterwards: list[float] = []
    with (
        tempfile.TemporaryDirectory() as cache,
        Client(model, threads=1, cache_dir=cache, vision_backend="off", audio_backend="off") as client,
    ):
        engine = official and official.Engine(
            model, backend=official.Backend.CPU(thread_count=1), cache_dir=cache
        )
        for _ in range(arguments.rounds):
            with client.chat(sampler={"temperature": 0}) as chat:
                plain += [clocked(lambda prompt=prompt: chat.send(prompt)) for prompt in prompts]
            with client.chat(sampler={"temperature": 0}) as chat:
                for prompt in prompts:
                    leaving.append(clocked(lambda: leave(chat)))
                    afterwards.append(clocked(lambda prompt=prompt: chat.send(prompt)))
            if engine:
                sampler = official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)
                with engine.create_conversation(sampler_config=sampler) as conversation:
                    bare += [
                        clocked(lambda prompt=prompt: conversation.send_message(prompt)) for prompt in prompts
                    ]
    turn = statistics.median(plain)
    print(f"a turn                              {turn:6.1f} ms, median of {len(plain)}")
    if bare:
        other = statistics.median(bare)
        print(f"the same, official binding          {other:6.1f} ms   ours / theirs {turn / other:.2f}")
    print(f"a turn that is left at its first word {statistics.median(leaving):4.1f} ms")
    after = statistics.median(afterwards)
    print(f"the turn after it                   {after:6.1f} ms   {after / turn:.2f} of a turn")


if __name__ == "__main__":
    main()
