"""Time to the first token of chats that begin alike: a long system message, and tools.

::

    python bench/prefix.py --model FILE [--prefix 1000] [--tools 4] [--chats 20] [--threads N]

Every chat is new, has the same system message and tools, about ``--prefix`` tokens in all, and asks something
of its own; the answer is one token, so that the time of the whole turn is the time to the first token. Our
own engine finds what the first chat has prefilled and computes only what is new. The official library, on the
same file with as many threads, has two ways: ``replay``, a conversation that begins from nothing, and
``clone``, one cloned from a conversation that has the system message and the tools and is never used itself,
which its C interface has and its binding has not. They take turns, chat by chat. The first chat of each is
shown apart; ratios are those within each round.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import litert_lm as official
from peers import longest
from peers.official import OfficialChats, clone

from litertlm import Client, Tool

GREEDY = {"temperature": 0}


def system_message(words: int) -> str:
    """So many words that mean something."""
    sentence = ("You", "are", "a", "patient", "assistant", "who", "answers", "briefly", "and", "politely.")
    return " ".join(itertools.islice(itertools.cycle(sentence), words))


def parameters(number: int) -> dict[str, Any]:
    """What a tool takes."""
    return {
        "type": "object",
        "properties": {
            "title": {"type": "string", "description": "Title of the book, or a part of it."},
            "shelf": {"type": "integer", "description": f"Shelf in room {number}."},
        },
        "required": ["title"],
    }


def tools(count: int) -> list[Tool]:
    """So many tools that nobody runs."""
    return [
        Tool(f"search_room_{number}", f"Look for a book in room {number}.", parameters(number))
        for number in range(count)
    ]


class Declared(official.Tool):  # type: ignore[misc]
    """The same tool for the official binding."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def get_tool_description(self) -> Mapping[str, Any]:
        """As the binding wants it."""
        tool = self._tool
        function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        return {"type": "function", "function": function}

    def execute(self, param: Mapping[str, Any]) -> Any:
        """Nobody runs it."""
        raise NotImplementedError


def question(number: int) -> str:
    """What a chat asks."""
    return f"Where is book number {number * 7919 % 1000}?"


def report(times: dict[str, list[float]]) -> None:
    """Print the table."""
    print("| | first chat, s | the others, s | longest | it / ours |")
    print("|---|---|---|---|---|")
    for name, (first, *others) in times.items():
        pairs = zip(others, times["ours"][1:], strict=True)
        ratio = statistics.median(one / mine for one, mine in pairs)
        print(f"| {name} | {first:.3f} | {statistics.median(others):.4f} | {max(others):.4f} | {ratio:.1f} |")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--prefix", type=int, default=1000, help="tokens of the system message and the tools")
    parser.add_argument("--tools", type=int, default=4)
    parser.add_argument("--chats", type=int, default=20, help="at least 2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    declared = tools(arguments.tools)
    times: dict[str, list[float]] = {"ours": [], "official, replay": [], "official, clone": []}
    reused: list[int] = []
    with (
        tempfile.TemporaryDirectory() as cache,
        Client(arguments.model, engine="native", threads=arguments.threads) as client,
    ):
        engine = OfficialChats(arguments.model, arguments.threads, cache).engine

        def count(system: str) -> int:
            with client.chat(system, tools=declared) as chat:
                return chat.count(question(0))

        system = longest(arguments.prefix, system_message, count)

        def conversation() -> Any:
            return engine.create_conversation(
                system_message=system,
                tools=[Declared(tool) for tool in declared],
                automatic_tool_calling=False,
                sampler_config=official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0),
            )

        def ours(asked: str) -> None:
            with client.chat(system, tools=declared, sampler=GREEDY) as chat:
                usage = chat.send(asked, max_output_tokens=1).usage
            reused.append(usage.reused_tokens)

        def theirs(begin: Callable[[], Any], asked: str) -> None:
            with begin() as chat:
                chat.send_message(asked, max_output_tokens=1)

        with conversation() as root:
            ways: dict[str, Callable[[str], None]] = {
                "ours": ours,
                "official, replay": partial(theirs, conversation),
                "official, clone": partial(theirs, partial(clone, root)),
            }
            for number in range(arguments.chats):
                for name, way in ways.items():
                    began = time.perf_counter()
                    way(question(number))
                    times[name].append(time.perf_counter() - began)
        prompt = count(system)
    print(
        f"{arguments.chats} chats, prompts of about {prompt} tokens, of which ours finds "
        f"{statistics.median(reused[1:]):.0f}; {arguments.threads} threads\n"
    )
    report(times)


if __name__ == "__main__":
    main()
