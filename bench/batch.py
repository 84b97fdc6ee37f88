"""Several chats at once: tokens a second of all together, and how long each of them waits.

::

    python bench/batch.py --model FILE [--gguf FILE] [--chats 1 2 4 8] [--prompt 32] [--tokens 48]
                          [--rounds 3] [--threads N] [--only PEER ...] [--python llama=EXE]

All chats get a prompt of ``--prompt`` tokens at the same moment and write ``--tokens``, greedy. Our own
engine decodes them in one pass over the weights; the official engine answers one after the other. llama.cpp,
if a GGUF file of the same weights is given, decodes a token of every sequence in one call, driven as its
server does it, with weights from the mapped file and loaded into memory. Each engine lives in a process of
its own, and they take turns; figures are medians over the rounds, but for the longest time of a chat.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

from peers.worker import Worker, interpreter


def makers(arguments: argparse.Namespace, cache: str) -> dict[str, tuple[Any, ...]]:
    """What makes the peers that were asked for, and what from: ``{name: (maker, argument, ...)}``."""
    context = arguments.prompt + arguments.tokens + 32
    most = max(arguments.chats)
    ours = (arguments.model, arguments.threads)
    found: dict[str, tuple[Any, ...]] = {
        "native": ("peers.native:NativeChats", *ours),
        "official": ("peers.official:OfficialChats", *ours, cache),
    }
    if arguments.gguf:
        for name, mmap in (("llama", True), ("llama-repacked", False)):
            llama = ("peers.llamacpp:LlamaChats", arguments.gguf, arguments.threads, mmap, most, context)
            found[name] = llama
    return {name: maker for name, maker in found.items() if name in (arguments.only or found)}


def measured(arguments: argparse.Namespace) -> dict[tuple[str, int], list[list[dict[str, Any]]]]:
    """The answers of every round, for each peer and number of chats."""
    rounds: dict[tuple[str, int], list[list[dict[str, Any]]]] = {}
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        workers = {}
        for name, maker in makers(arguments, cache).items():
            worker = Worker(*maker, python=interpreter(name, arguments.python))
            workers[name] = stack.enter_context(worker)
            workers[name].ask("together", 1, arguments.prompt, 4)  # touches memory for the first time
        for number in range(arguments.rounds):
            for count in arguments.chats:
                for name, worker in workers.items():
                    note = f"round {number + 1}/{arguments.rounds}, {count} chats: {name}"
                    print(f"\r\x1b[K{note}", end="", file=sys.stderr, flush=True)
                    answers = worker.ask("together", count, arguments.prompt, arguments.tokens)
                    rounds.setdefault((name, count), []).append(answers)
        print("\r\x1b[K", end="", file=sys.stderr)
    return rounds


def rate(answers: list[dict[str, Any]]) -> float:
    """Tokens a second of chats that began together."""
    total: float = sum(one["tokens"] for one in answers) / max(one["seconds"] for one in answers)
    return total


def report(rounds: dict[tuple[str, int], list[list[dict[str, Any]]]], tokens: int) -> None:
    """Print the table."""
    print("| chats | engine | tokens/s in all | over one chat | a chat takes, s (median) | longest |")
    print("|---|---|---|---|---|---|")
    for name, count in sorted(rounds, key=lambda case: case[1]):
        least = min(other for peer, other in rounds if peer == name)
        pairs = zip(rounds[name, count], rounds[name, least], strict=True)
        over = statistics.median(rate(several) / rate(one) for several, one in pairs)
        each = [one["seconds"] for answers in rounds[name, count] for one in answers]
        print(
            f"| {count} | {name} | {statistics.median(map(rate, rounds[name, count])):.1f} | {over:.2f} "
            f"| {statistics.median(each):.2f} | {max(each):.2f} |"
        )
    for name in dict.fromkeys(name for name, _ in rounds):
        written = [
            one["tokens"] for case, all_ in rounds.items() if case[0] == name for some in all_ for one in some
        ]
        if min(written) < tokens:
            print(f"\n{name}: some chats ended by themselves, the shortest after {min(written)} tokens")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf")
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--tokens", type=int, default=48, help="written by each chat")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="+", metavar="PEER")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=EXE")
    arguments = parser.parse_args()
    report(measured(arguments), arguments.tokens)


if __name__ == "__main__":
    main()
