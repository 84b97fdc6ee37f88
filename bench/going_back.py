"""How long it takes to fork a chat, to go back in it, and to go on with a saved one.

::

    python bench/going_back.py --model FILE [--words 3000] [--threads N]

A chat reads a prompt of so many words (about as many tokens). Then, on our own engine: the seconds that
``fork`` and ``undo`` take by themselves, the first token after them, and the first token of the saved chat in
a fresh client, its KV cache loaded. Beside it the official binding's way to each: reading the prompt again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import litert_lm as official

from litertlm import Client

GREEDY = {"temperature": 0}
TIMES = 20


def clocked(call: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--words", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    prompt = "word " * arguments.words
    official.set_min_log_severity(official.LogSeverity.SILENT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.chat")
        settings = {"engine": "native", "threads": arguments.threads}
        with Client(arguments.model, **settings) as client, client.chat(sampler=GREEDY) as chat:
            read = clocked(lambda: chat.send(prompt, max_output_tokens=1))
            tokens = chat.token_count
            forks, undone, first_in_fork, first_after_undo = [], [], [], []
            for number in range(TIMES):
                began = time.perf_counter()
                fork = chat.fork()
                forks.append(time.perf_counter() - began)
                text = f"Question {number}?"
                first_in_fork.append(
                    clocked(lambda fork=fork, text=text: fork.send(text, max_output_tokens=1))
                )
                undone.append(clocked(fork.undo))
                first_after_undo.append(
                    clocked(lambda fork=fork, text=text: fork.send(text + "!", max_output_tokens=1))
                )
                fork.close()
            saving = clocked(lambda: chat.save(path, kv_cache=True))
            size = path.with_name("long.chat.kv").stat().st_size
        with Client(arguments.model, **settings) as client:
            began = time.perf_counter()
            with client.load_chat(path) as chat:
                reply = chat.send("Question?", max_output_tokens=1)
                resumed = time.perf_counter() - began
        engine = official.Engine(
            arguments.model, backend=official.Backend.CPU(thread_count=arguments.threads), cache_dir=folder
        )
        with engine.create_conversation() as conversation:
            again = clocked(lambda: conversation.send_message(prompt + "Question?", max_output_tokens=1))
    all_times = (forks, undone, first_in_fork, first_after_undo)
    fork_ms, undo_ms, after_fork, after_undo = (1000 * statistics.median(each) for each in all_times)
    print(f"{tokens} tokens, {arguments.threads} threads; read in {read:.2f} s; official {again:.2f} s")
    print(f"fork {fork_ms:.2f} ms, undo {undo_ms:.2f} ms")
    print(f"first token after fork {after_fork:.0f} ms, after undo {after_undo:.0f} ms")
    print(
        f"saved in {saving:.2f} s, {size / 1e6:.0f} MB; resumed and first token {resumed:.3f} s "
        f"({reply.usage.reused_tokens} tokens found), {again / resumed:.0f} times faster than official"
    )


if __name__ == "__main__":
    main()
