"""What it costs to wait for tools: handlers at once, beside the official binding's one after the other.

::

    python bench/tools.py [--seconds 1.0] [--rounds 3] [--model FILE]

The model calls a tool for four cities in one reply; each handler sleeps. The bundled model makes two calls by
itself, so a regular expression constrains its first reply to four, for every contender in the same way; the
answer to the results is free. The same question goes to ``litertlm``, with four and with one tool at a time,
and to the official binding, all taking turns in one run. Then handlers that end in reverse order show that
results keep the order of the calls, and one that fails shows how soon the others are told to stop.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from litertlm import Client, Message, Regex, Tool, ToolContext, ToolError, ToolResult
from litertlm.bundled import bundled_model
from litertlm.options import TurnOptions

try:
    import litert_lm as official
except ImportError:
    official = None

CITIES = ("Paris", "Rome", "Oslo", "London")
QUESTION = "What is the weather in Paris, Rome, Oslo and London?"
WEATHER = {"temperature": 21, "condition": "sunny"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALLS = "".join(
    re.escape(f'<|tool_call>call:get_weather{{city:<|"|>{city}<|"|>}}<tool_call|>') for city in CITIES
)


class FourCalls:
    """An engine whose model answers every message of a user with the four calls, made by itself."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def open(self, preface: Any) -> Any:
        """A conversation that does so."""
        conversation = self._engine.open(preface)
        prepare = conversation.prepare

        def constrained(message: Message, options: TurnOptions) -> Any:
            if message.role == "user":
                options = replace(options, response_format=Regex(CALLS))
            return prepare(message, options)

        conversation.prepare = constrained
        return conversation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def seconds(ask: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def contenders(client: Client, model: str, cache: str, sleep: float) -> dict[str, Callable[[], object]]:
    """Who asks the question, by name."""

    def get_weather(city: str) -> dict[str, Any]:
        asked.append(city)
        time.sleep(sleep)
        return WEATHER

    asked: list[str] = []

    def checked(ask: Callable[[], str]) -> Callable[[], object]:
        def asking() -> None:
            asked.clear()
            answer = ask()
            assert sorted(asked) == sorted(CITIES), asked
            assert answer

        return asking

    def ours(at_once: int) -> Callable[[], str]:
        def ask() -> str:
            tool = Tool("get_weather", "Current weather", SCHEMA, get_weather)
            with client.chat(tools=[tool], sampler={"temperature": 0}) as chat:
                return chat.send(QUESTION, max_concurrent_tools=at_once).text

        return ask

    found = {"litertlm, four at once": checked(ours(4)), "litertlm, one by one": checked(ours(1))}
    if official is None:
        return found
    official.set_min_log_severity(official.LogSeverity.SILENT)

    class Declared(official.Tool):  # type: ignore[misc, name-defined]
        def get_tool_description(self) -> dict[str, Any]:
            function = {"name": "get_weather", "description": "Current weather", "parameters": SCHEMA}
            return {"type": "function", "function": function}

        def execute(self, param: Any) -> Any:
            return get_weather(**param)

    engine = official.Engine(model, backend=official.Backend.CPU(), cache_dir=cache)
    guided = official.ConstrainedDecodingConfig(provider=official.LiteRtLmConstraintProviderType.LL_GUIDANCE)

    def theirs() -> str:
        with engine.create_conversation(
            tools=[Declared()],
            sampler_config=official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0),
            constrained_decoding_config=guided,
        ) as conversation:
            # By itself it leaves the calls free, and constrains the answer. A conversation keeps its last
            # constraint if it is given none, so the answer gets one that allows everything.
            calls, anything = map(official.ResponseFormat.regex, (CALLS, r"(.|\n)*"))
            conversation._resolve_response_format = lambda message, given: (
                given if not isinstance(message, list) else anything
            )
            reply = conversation.send_message(QUESTION, response_format=calls)
            return "".join(part.get("text", "") for part in reply["content"])

    found["official"] = checked(theirs)
    return found


def show_order(client: Client, sleep: float) -> None:
    """Handlers that end in reverse order."""
    ended: list[str] = []

    def get_weather(city: str) -> str:
        time.sleep(sleep * (len(CITIES) - CITIES.index(city)) / len(CITIES))
        ended.append(city)
        return city

    tool = Tool("get_weather", "Current weather", SCHEMA, get_weather)
    with client.chat(tools=[tool], sampler={"temperature": 0}) as chat:
        chat.send(QUESTION, max_concurrent_tools=4)
        told = [
            part.result for message in chat.history for part in message.parts if isinstance(part, ToolResult)
        ]
    assert told == list(CITIES), told
    print(f"\nhandlers ended: {', '.join(ended)}; the model was told: {', '.join(told)}")


def show_cancellation(client: Client, sleep: float) -> None:
    """A handler that fails while the others wait."""
    failed = 0.0
    stopped: list[float] = []

    def get_weather(city: str, context: ToolContext) -> str:
        nonlocal failed
        if city == "Oslo":
            time.sleep(sleep / 10)
            failed = time.perf_counter()
            raise LookupError("no weather there")
        if context.cancel_token.wait(sleep):
            stopped.append(time.perf_counter())
        return city

    tool = Tool("get_weather", "Current weather", SCHEMA, get_weather)
    with client.chat(tools=[tool], sampler={"temperature": 0}) as chat:
        try:
            chat.send(QUESTION, max_concurrent_tools=4)
        except ToolError:
            raised = time.perf_counter()
        assert not chat.history
    time.sleep(sleep / 10)  # for the handlers' threads to say when they stopped
    latest = max(stopped) - failed
    print(
        f"one of four fails: send raises after {(raised - failed) * 1000:.0f} ms, "
        f"{len(stopped)} others are told to stop within {latest * 1000:.0f} ms, the chat is empty again"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each handler sleeps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    model = str(arguments.model or bundled_model())
    with tempfile.TemporaryDirectory() as cache, Client(model, cache_dir=cache) as loaded:
        client = Client(engine=FourCalls(loaded._engine))
        asking = contenders(client, model, cache, arguments.seconds)
        times: dict[str, list[float]] = {name: [] for name in asking}
        for _ in range(arguments.rounds):
            for name, ask in asking.items():
                times[name].append(seconds(ask))
        for name, took in times.items():
            print(f"{name:<24} {statistics.median(took):.2f} s, median of {arguments.rounds}")
        show_order(client, arguments.seconds)
        show_cancellation(client, arguments.seconds)


if __name__ == "__main__":
    main()
