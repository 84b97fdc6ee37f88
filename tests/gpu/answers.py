"""Asks a model everything that the GPU tests want to know, and prints the answers as one line of JSON.

A program of its own, because the Vulkan driver is chosen by the environment when the engine first looks for a
GPU, and because a crash of a graphics driver must not take the test run with it::

    python answers.py MODEL cpu|gpu CACHE_DIR
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import PIL.Image

from litertlm import Audio, Chat, Client, Image

GREEDY = {"temperature": 0}
TOKENS = 12
"""Enough to see a difference; a GPU in software decodes a few tokens a second."""

FIRST, SECOND = "Hello!", "What can you do?"
TEXTS = ("What is litertlm?", "Tell me a story.")
COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220)}
PITCHES = {"low": 220, "high": 1760}


def colour(name: str) -> Image:
    """A picture of one colour."""
    return Image(PIL.Image.new("RGB", (96, 96), COLOURS[name]))


def tone(name: str) -> Audio:
    """A second of one pitch."""
    return Audio((0.4 * np.sin(2 * np.pi * PITCHES[name] * np.arange(16000) / 16000)).astype("f4"), 16000)


def answer(chat: Chat, *parts: str | Image | Audio) -> str:
    """The beginning of a reply."""
    return chat.send_multi(parts, max_output_tokens=TOKENS).text


def fresh(client: Client, *turns: Iterable[str | Image | Audio]) -> list[str]:
    """Replies in a chat of its own."""
    with client.chat(sampler=GREEDY) as chat:
        return [answer(chat, *turn) for turn in turns]


def leave(chat: Chat) -> None:
    """Begin a turn and leave it at its first chunk."""
    with chat.send_stream("Tell me a story about a robot.") as stream:
        next(stream)


def after_leaving(client: Client) -> list[str]:
    """The first reply in a chat whose first turn was left."""
    with client.chat(sampler=GREEDY) as chat:
        leave(chat)
        return [answer(chat, FIRST)]


def interleaved(client: Client) -> list[str]:
    """Two turns of one chat, with a turn of another one between them."""
    with client.chat(sampler=GREEDY) as chat, client.chat(sampler=GREEDY) as other:
        first = answer(chat, FIRST)
        answer(other, TEXTS[0])
        return [first, answer(chat, SECOND)]


def main(model: str, backend: str, cache: str) -> None:
    """Ask everything."""
    everywhere: dict[str, Any] = {f"{part}backend": backend for part in ("", "vision_", "audio_")}
    with Client(model, engine="litert", cache_dir=cache, **everywhere) as client:
        found = {
            "backends": [client.info.backend, client.info.vision_backend, client.info.audio_backend],
            "texts": [fresh(client, [text])[0] for text in TEXTS],
            "two turns": fresh(client, [FIRST], [SECOND]),
            "interleaved": interleaved(client),
            "after leaving": after_leaving(client),
            "images": [fresh(client, [colour(name), "What colour is it?"])[0] for name in COLOURS],
            "sounds": [fresh(client, [tone(name), "What do you hear?"])[0] for name in PITCHES],
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
