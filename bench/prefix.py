"""Time to the first token of chats that begin alike: a long system message and ten tools.

::

    python bench/prefix.py --model FILE [--chats 20] [--words 450] [--threads N]

Every chat is new, has the same system message and tools, and asks something of its own; the answer is one
token, so that the time of the whole turn is the time to the first token. Our own engine finds what the first
chat has prefilled and computes only what is new; the official binding, on the same file with as many threads,
begins from nothing. They take turns, chat by chat. The first chat of each is shown apart.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import litert_lm as official

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


def tools() -> list[Tool]:
    """Ten tools that nobody runs."""
    return [
        Tool(f"search_room_{number}", f"Look for a book in room {number}.", parameters(number))
        for number in range(10)
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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--chats", type=int, default=20)
    parser.add_argument("--words", type=int, default=450, help="of the system message")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    system, declared = system_message(arguments.words), tools()
    ours: list[float] = []
    theirs: list[float] = []
    reused: list[int] = []
    official.set_min_log_severity(official.LogSeverity.SILENT)
    with (
        tempfile.TemporaryDirectory() as cache,
        Client(arguments.model, engine="native", threads=arguments.threads) as client,
    ):
        engine = official.Engine(
            arguments.model,
            backend=official.Backend.CPU(thread_count=arguments.threads),
            cache_dir=cache,
        )
        sampler = official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)
        for number in range(arguments.chats):
            question = f"Where is book number {number * 7919 % 1000}?"
            began = time.perf_counter()
            with client.chat(system, tools=declared, sampler=GREEDY) as chat:
                reply = chat.send(question, max_output_tokens=1)
                ours.append(time.perf_counter() - began)
            reused.append(reply.usage.reused_tokens)
            prompt = reply.usage.prompt_tokens + reply.usage.reused_tokens
            began = time.perf_counter()
            with engine.create_conversation(
                system_message=system,
                tools=[Declared(tool) for tool in declared],
                automatic_tool_calling=False,
                sampler_config=sampler,
            ) as conversation:
                conversation.send_message(question, max_output_tokens=1)
                theirs.append(time.perf_counter() - began)
    print(f"{arguments.chats} chats, prompts of about {prompt} tokens, {arguments.threads} threads")
    print(f"first chat: ours {ours[0]:.3f} s, official {theirs[0]:.3f} s")
    again, others = ours[1:], theirs[1:]
    ratio = statistics.median(other / mine for mine, other in zip(again, others, strict=True))
    print(
        f"the others: ours {statistics.median(again):.4f} s (worst {max(again):.4f}; "
        f"{statistics.median(reused[1:]):.0f} tokens found), "
        f"official {statistics.median(others):.3f} s; {ratio:.1f} times faster"
    )


if __name__ == "__main__":
    main()
