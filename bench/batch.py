"""Several chats at once: tokens a second in all and for each, beside the official binding.

::

    python bench/batch.py --model FILE [--chats 1 2 4 8] [--tokens 48] [--rounds 3] [--threads N] [--gguf
    FILE]

All chats ask at the same moment and write equally many tokens. Our own engine decodes them in one pass over
the weights; the official engine one after the other. llama.cpp, if a GGUF file of the same weights is given,
decodes all sequences of a batch in one pass too, driven as its server does it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

import litert_lm as official

from litertlm import Client

PROMPT = "Tell me, in as many words as you like, what you know about the number {}."


def at_once(count: int, ask: Callable[[int], int]) -> tuple[float, list[float]]:
    """All ask at the same moment.

    Returns:
        Tokens a second of all together, and the seconds that each took.
    """
    gate = threading.Barrier(count + 1)
    tokens, seconds = [0] * count, [0.0] * count

    def run(number: int) -> None:
        gate.wait()
        began = time.perf_counter()
        tokens[number] = ask(number)
        seconds[number] = time.perf_counter() - began

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(tokens) / (time.perf_counter() - began), seconds


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf")
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    official.set_min_log_severity(official.LogSeverity.SILENT)
    with (
        tempfile.TemporaryDirectory() as cache,
        Client(arguments.model, engine="native", threads=arguments.threads) as client,
    ):
        engine = official.Engine(
            arguments.model,
            backend=official.Backend.CPU(thread_count=arguments.threads),
            max_num_tokens=1024,
            cache_dir=cache,
        )
        sampler = official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)

        def ours(number: int) -> int:
            reply = client.generate(
                PROMPT.format(number), sampler={"temperature": 0}, max_output_tokens=arguments.tokens
            )
            return reply.usage.completion_tokens

        def theirs(number: int) -> int:
            with engine.create_conversation(sampler_config=sampler) as conversation:
                conversation.send_message(PROMPT.format(number), max_output_tokens=arguments.tokens)
            return arguments.tokens

        contenders: dict[str, Callable[[int], int]] = {"ours": ours, "official": theirs}
        results: dict[tuple[str, int], list[tuple[float, list[float]]]] = {}
        for _ in range(arguments.rounds):
            for count in arguments.chats:
                for name, ask in contenders.items():
                    results.setdefault((name, count), []).append(at_once(count, ask))
    print("| chats | engine | tokens/s in all | over one chat | a chat takes, s (median) | longest |")
    print("|---|---|---|---|---|---|")
    for name in contenders:
        one = statistics.median(rate for rate, _ in results[name, arguments.chats[0]])
        for count in arguments.chats:
            rate = statistics.median(rate for rate, _ in results[name, count])
            each = [second for _, seconds in results[name, count] for second in seconds]
            print(
                f"| {count} | {name} | {rate:.1f} | {rate / one:.2f} "
                f"| {statistics.median(each):.2f} | {max(each):.2f} |"
            )


if __name__ == "__main__":
    main()
