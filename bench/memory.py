"""Memory that chats take beyond the loaded model: our own engine beside the official binding.

::

    python bench/memory.py --model FILE [--tokens 100 1000] [--chats 1 4] [--threads N]

Each case is a process of its own: it loads the model, has one short chat so that everything is there that is
made once, and then opens so many chats, each of which reads a prompt of about so many tokens and stays open.
Shown is by how much its anonymous memory has grown, a chat.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WORD = "word "


def anonymous() -> float:
    """MiB of this process that no file stands behind."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) / 1024


def ours(model: str, threads: int, chats: int, words: int) -> float:
    """MiB that a chat takes on our own engine."""
    from litertlm import Client

    with Client(model, engine="native", weights="mapped", threads=threads) as client:
        client.generate("Hi", max_output_tokens=1)
        before = anonymous()
        opened = [client.chat() for _ in range(chats)]
        for number, chat in enumerate(opened):
            # Different from the first token on, so that nothing is shared.
            chat.send(f"{number} {WORD * words}", max_output_tokens=1)
        grown = anonymous() - before
        for chat in opened:
            chat.close()
    return grown / chats


def theirs(model: str, threads: int, chats: int, words: int) -> float:
    """The same for the official binding."""
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.SILENT)
    with tempfile.TemporaryDirectory() as cache:
        engine = litert_lm.Engine(model, backend=litert_lm.Backend.CPU(thread_count=threads), cache_dir=cache)
        with engine.create_conversation() as first:
            first.send_message("Hi", max_output_tokens=1)
        before = anonymous()
        opened = [engine.create_conversation() for _ in range(chats)]
        for number, conversation in enumerate(opened):
            conversation.send_message(f"{number} {WORD * words}", max_output_tokens=1)
        return (anonymous() - before) / chats


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        measure = {"ours": ours, "theirs": theirs}[arguments.only]
        (words,), (chats,) = arguments.tokens, arguments.chats
        print(f"@{measure(arguments.model, arguments.threads, chats, words)}")
        return
    print("| tokens | chats | ours, MiB a chat | official | ours / official |")
    print("|---|---|---|---|---|")
    for words in arguments.tokens:
        for chats in arguments.chats:
            grown = {}
            for name in ("ours", "theirs"):
                command = [sys.executable, __file__, "--model", arguments.model, "--only", name]
                command += ["--tokens", str(words), "--chats", str(chats)]
                command += ["--threads", str(arguments.threads)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                grown[name] = float(said.rpartition("@")[2])
            share = grown["ours"] / grown["theirs"]
            row = f"| {words} | {chats} | {grown['ours']:.1f} | {grown['theirs']:.1f} | {share:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
