"""How long it takes to fork a chat, to go back in it, and to go on with a saved one.

::

    python bench/going_back.py --model FILE [--tokens 3900] [--rounds 5] [--threads N]

A chat reads a prompt of ``--tokens`` tokens. Then, in every round, on our own engine: ``fork`` and ``undo``
by themselves, the first token of the next turn after each, and the first token of the saved chat in a fresh
client, its KV cache loaded. The official library has two ways to each of them: ``clone``, of a conversation
that has read the prompt (for an undo, of one made before the turn that is undone), which its C interface has
and which does not outlive the process; and ``replay``, a new conversation that reads everything again. Both
engines take turns; figures are medians, and ratios those of the first token within each round.

The official library prefills in pieces, of 128 tokens on most models, and refuses when less than a piece is
left of the context: hence 3,900 tokens on a model that holds 4,096.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litert_lm as official
from peers import message_of
from peers.official import OfficialChats, clone

from litertlm import Chat, Client

GREEDY = {"temperature": 0}
Times = dict[str, list[float]]
"""Seconds of everything that is timed, one for each round."""


def clocked(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it takes, and what it returns."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def ours(chat: Chat, times: Times, number: int) -> None:
    """A round of forking and going back."""

    def first_token(text: str) -> float:
        return clocked(lambda: fork.send(text, max_output_tokens=1))[0]

    seconds, fork = clocked(chat.fork)
    times["fork"].append(seconds)
    times["fork, first token"].append(first_token(f"Question {number}?"))
    times["undo"].append(clocked(fork.undo)[0])
    times["undo, first token"].append(first_token(f"Another question {number}?"))
    fork.close()


def resumed(model: str, settings: dict[str, Any], path: Path, times: Times) -> int:
    """A round of going on with a saved chat; how many tokens of it were not computed again."""
    with Client(model, **settings) as client:
        seconds, chat = clocked(lambda: client.load_chat(path))
        with chat:
            first, reply = clocked(lambda: chat.send("Question?", max_output_tokens=1))
    times["resume"].append(seconds)
    times["resume, first token"].append(first)
    found: int = reply.usage.reused_tokens
    return found


def theirs(peer: OfficialChats, root: Any, prompt: str, times: Times, number: int) -> None:
    """A round of both official ways."""

    def first_token(conversation: Any, text: str) -> float:
        return clocked(lambda: conversation.send_message(text, max_output_tokens=1))[0]

    seconds, fork = clocked(lambda: clone(root))
    times["clone"].append(seconds)
    with fork, clone(fork) as spare:
        times["clone, first token"].append(first_token(fork, f"Question {number}?"))
        times["spare, first token"].append(first_token(spare, f"Another question {number}?"))
    with peer.chat() as again:
        times["replay"].append(first_token(again, f"{prompt} Question {number}?"))


def report(times: Times) -> None:
    """Print the table."""

    def milliseconds(name: str) -> str:
        return f"{1000 * statistics.median(times[name]):.2f}" if name in times else "-"

    def faster(name: str, mine: list[float]) -> str:
        if name not in times:
            return "-"
        pairs = zip(times[name], mine, strict=True)
        return f"{statistics.median(other / one for other, one in pairs):.1f}"

    print("| | ours, ms | first token | clone, ms | first token | replay | clone / ours | replay / ours |")
    print("|---|---|---|---|---|---|---|---|")
    for name, made, used in (
        ("fork", "clone", "clone, first token"),
        ("undo", "", "spare, first token"),
        ("resume", "", ""),
    ):
        pairs = zip(times[name], times[f"{name}, first token"], strict=True)
        whole = [itself + first for itself, first in pairs]
        cells = [milliseconds(name), milliseconds(f"{name}, first token"), milliseconds(made)]
        cells += [milliseconds(used), milliseconds("replay"), faster(used, whole), faster("replay", whole)]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nslowest fork {1000 * max(times['fork']):.2f} ms, undo {1000 * max(times['undo']):.2f} ms")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", type=int, default=3900)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    official.set_min_log_severity(official.LogSeverity.SILENT)
    settings = {"engine": "native", "threads": arguments.threads}
    times: Times = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.chat")
        peer = OfficialChats(arguments.model, arguments.threads, folder)
        with (
            Client(arguments.model, **settings) as client,
            client.chat(sampler=GREEDY) as chat,
            peer.chat() as root,
        ):
            prompt = message_of(arguments.tokens, 0, chat.count)
            read, _ = clocked(lambda: chat.send(prompt, max_output_tokens=1))
            tokens = chat.token_count
            root.send_message(prompt, max_output_tokens=1)
            saving, _ = clocked(lambda: chat.save(path, kv_cache=True))
            size = path.with_name("long.chat.kv").stat().st_size
            for number in range(arguments.rounds):
                ours(chat, times, number)
                found = resumed(arguments.model, settings, path, times)
                theirs(peer, root, prompt, times, number)
    print(f"{tokens} tokens, read in {read:.2f} s by ours, {arguments.threads} threads")
    print(f"saved in {saving:.2f} s, {size / 1e6:.0f} MB; {found} tokens found in it\n")
    report(times)


if __name__ == "__main__":
    main()
