"""Uses one client for a long time and prints what that leaves behind, as one line of JSON.

A program of its own, so that nothing else in the process blurs the figures::

    python tests/soak/soak.py MODEL {litert,native} [--turns 300] [--chats 200]

A chat's context is as long as the model's, which 300 kept turns may not fit. So of every three turns one is
kept, one is left at its first chunk, and one fails; after the latter two the chat is as it was before, which
is the harder part, since the engine's state is thrown away and built again. When the context is full, turns
are left instead of kept.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from litertlm import (
    Audio,
    Chat,
    Client,
    ContextOverflow,
    DeadlineExceeded,
    Image,
    MediaError,
    ModalityUnavailable,
)
from litertlm._engine.native.engine import NativeEngine

GREEDY = {"temperature": 0}
MIB = 2**20

PICTURE = Image(PIL.Image.new("RGB", (64, 64), (220, 30, 30)))
SOUND = Audio((0.4 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)).astype("f4"), 16000)


def memory() -> dict[str, float]:
    """Resident memory in MiB: all of it, and the part that is no mapped file."""
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")}


def holdings() -> dict[str, int]:
    """Threads, file descriptors and mapped files of this process."""
    return {
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "mappings": Path("/proc/self/maps").read_text("utf-8").count(".litertlm"),
    }


def kv_bytes(client: Client) -> int | None:
    """KV pages in use; only our own engine knows."""
    engine = client._engine
    return int(engine._facts().cache_bytes) if isinstance(engine, NativeEngine) else None


def keep(chat: Chat, number: int) -> None:
    """A turn that is kept, while there is room."""
    if (chat.context.remaining or 0) > 64:
        chat.send(f"Hi {number}", max_output_tokens=1)
    else:
        leave(chat, number)


def leave(chat: Chat, number: int) -> None:
    """A turn that is left at its first chunk."""
    with chat.send_stream(f"Go {number}", max_output_tokens=8) as stream:
        next(stream, None)


def fail(chat: Chat, number: int) -> None:
    """A turn that fails, in one of three ways."""
    match number % 3:
        case 0:
            try:
                chat.send("word " * 4000)
            except ContextOverflow:
                return
        case 1:
            try:
                chat.send("Tell me a story.", timeout=0.001)
            except DeadlineExceeded:
                return
        case 2:
            try:
                chat.send_multi([Image(b"not a picture"), "What is it?"])
            except (MediaError, ModalityUnavailable):
                return
    raise AssertionError("the turn should have failed")


def one_chat(client: Client, turns: int) -> Iterator[int]:
    """That many turns on one chat; yields after each."""
    kinds: tuple[Callable[[Chat, int], None], ...] = (keep, leave, fail)
    with client.chat(sampler=GREEDY) as chat:
        for number in range(turns):
            kinds[number % 3](chat, number // 3)
            yield number + 1


def many_chats(client: Client, chats: int) -> Iterator[int]:
    """That many chats, each with words, a picture or a sound, some left in the middle; yields after each."""
    for number in range(chats):
        with client.chat("Be brief.", sampler=GREEDY, max_output_tokens=2) as chat:
            chat.send("Hello!")
            match number % 4:
                case 0 if "image" in client.info.modalities:
                    chat.send_multi([PICTURE, "What colour is it?"])
                case 1 if "audio" in client.info.modalities:
                    chat.send_multi([SOUND, "What do you hear?"])
                case 2:
                    leave(chat, number)
                case _:
                    chat.send("What can you do?")
        yield number + 1


def is_sampled(number: int) -> bool:
    """Whether to look at the memory after that many."""
    return number in (1, 5) or number % 10 == 0


def main() -> None:
    """Soak, and report."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("engine", choices=("litert", "native"))
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--chats", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        # Our own engine alone; beside it, encoders would bring the other one's threads.
        media = "auto" if arguments.engine == "litert" else "off"

        def opened() -> Client:
            return Client(
                arguments.model,
                engine=arguments.engine,
                vision_backend=media,
                audio_backend=media,
                cache_dir=cache,
                threads=2,
            )

        report: dict[str, object] = {"idle": holdings()}
        with opened() as client, client.chat() as chat:  # what the engine starts once and keeps
            chat.send("Hello!", max_output_tokens=1)
        report["before"] = holdings()
        with opened() as client:
            for name, steps in (
                ("turns", one_chat(client, arguments.turns)),
                ("chats", many_chats(client, arguments.chats)),
            ):
                sizes: dict[int, dict[str, float | None]] = {}
                for number in steps:
                    if is_sampled(number):
                        sizes[number] = {**memory(), "KV": kv_bytes(client)}
                        sys.stderr.write(f"{name} {number}: {sizes[number]}\n")
                report[name] = sizes
                report[f"after {name}"] = holdings()
                report[f"KV after {name}"] = kv_bytes(client)
        report["after"] = holdings()
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
