"""What it costs to wait for tools: handlers at once, beside the official binding's one after the other.

::

    python bench/tools.py [--seconds 1.0] [--rounds 3] [--model FILE]

The bundled model is asked for the weather in two cities and calls the tool twice; each handler sleeps. The
same question goes to ``litertlm``, with one and with two tools at a time, and to the official binding, all
taking turns in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litertlm import Client, Tool
from litertlm.bundled import bundled_model

try:
    import litert_lm as official
except ImportError:
    official = None

QUESTION = "What is the weather in Paris and Rome?"
WEATHER = {"temperature": 21, "condition": "sunny"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def clocked(ask: Callable[[], str], expected: str) -> float:
    """Seconds until the answer."""
    began = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - began
    assert expected in answer, answer
    return took


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each handler sleeps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    model = str(arguments.model or bundled_model())

    def get_weather(city: str) -> dict[str, Any]:
        time.sleep(arguments.seconds)
        return WEATHER

    tool = Tool("get_weather", "Current weather", SCHEMA, get_weather)
    with tempfile.TemporaryDirectory() as cache, Client(model, cache_dir=cache) as client:

        def ours(at_once: int) -> Callable[[], str]:
            def ask() -> str:
                with client.chat(tools=[tool], sampler={"temperature": 0}) as chat:
                    return chat.send(QUESTION, max_concurrent_tools=at_once).text

            return ask

        contenders = {"litertlm, two at once": ours(2), "litertlm, one by one": ours(1)}
        if official is not None:
            official.set_min_log_severity(official.LogSeverity.SILENT)

            class Declared(official.Tool):  # type: ignore[misc, name-defined]
                def get_tool_description(self) -> dict[str, Any]:
                    function = {"name": "get_weather", "description": "", "parameters": SCHEMA}
                    return {"type": "function", "function": function}

                def execute(self, param: Any) -> Any:
                    return get_weather(**param)

            engine = official.Engine(model, backend=official.Backend.CPU(), cache_dir=cache)
            sampler = official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)

            def theirs() -> str:
                with engine.create_conversation(tools=[Declared()], sampler_config=sampler) as conversation:
                    reply = conversation.send_message(QUESTION)
                    return "".join(part.get("text", "") for part in reply["content"])

            contenders["official"] = theirs
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, ask in contenders.items():
                times[name].append(clocked(ask, "Paris, and it is 21 degrees and sunny in Rome"))
    for name, took in times.items():
        print(f"{name:<24} {statistics.median(took):.2f} s, median of {arguments.rounds}")


if __name__ == "__main__":
    main()
