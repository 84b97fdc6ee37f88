"""What streaming costs: tokens per second as the reader sees them, over the engine's own rate.

::

    python bench/streaming.py [--rounds 7] [--threads 1] [--tokens 300] [--model FILE] [--json]

Everything is measured in one run on the same weights, with the same prompts and greedy sampling, litertlm
and the official binding (``litert_lm``, if it can be imported) taking turns, each round in fresh
conversations. It is done idle and with one and two busy threads: pure Python loops that compete for the
interpreter lock.

What the columns are, each a median over the rounds:

``litertlm``
    Tokens that came after the first chunk of ``send_stream``, over the seconds from that chunk to the end of
    the iteration: what a reader gets. Tokens are counted by the engine, since a chunk may hold several.
``official``
    The same for the iterator that ``send_message_async`` returns.
``engine``
    The decode rate that the engine itself measured in the very turns of ``litertlm``.
``blocking``
    The decode rate that the engine measured in blocking turns of the official binding.
``/engine``, ``/blocking``, ``/official``
    ``litertlm`` over that, computed within each round; the median of the ratios, not the ratio of medians.

One engine thread by default, so that on two cores the busy threads, which share one interpreter lock and so
take one core, leave the engine its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litertlm import Client
from litertlm.bundled import bundled_model

try:
    import litert_lm as official
except ImportError:
    official = None

# Replies of the bundled model are short; a round asks until it has tokens enough.
PROMPTS = (
    "Tell me a story.",
    "Tell me another story.",
    "What can you do?",
    "Tell me about yourself.",
    "Tell me a story about a robot.",
    "What is litertlm?",
)
BUSY = (0, 1, 2)

AIM_IDLE = 0.93
"""Least acceptable share of the engine's rate, idle."""
AIM_BUSY = 3.0
"""Least acceptable multiple of the official binding's rate, with one busy thread."""


@dataclass
class Round:
    """Tokens and seconds of one round, added up over its turns."""

    tokens: int = 0
    seconds: float = 0.0
    engine_tokens: int = 0
    engine_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens per second as the reader saw them."""
        return self.tokens / self.seconds

    @property
    def engine_rate(self) -> float:
        """Tokens per second as the engine measured them."""
        return self.engine_tokens / self.engine_seconds

    def add(self, tokens: int, seconds: float, engine_rate: float) -> None:
        """Count a turn of that many decoded tokens."""
        self.tokens += tokens - 1  # the first one started the clock
        self.seconds += seconds
        self.engine_tokens += tokens
        self.engine_seconds += tokens / engine_rate


Turns = Callable[[int], Round]
"""One round: fresh conversation, that many tokens at least while prompts last."""


def ours(client: Client) -> Turns:
    """Rounds of ``send_stream``."""

    def turns(wanted: int) -> Round:
        done = Round()
        with client.chat(sampler={"temperature": 0}) as chat:
            for prompt in PROMPTS:
                if done.engine_tokens >= wanted:
                    break
                first = 0.0
                stream = chat.send_stream(prompt, max_output_tokens=wanted)
                for _ in stream:
                    first = first or time.perf_counter()
                seconds = time.perf_counter() - first
                reply = stream.reply
                done.add(reply.usage.completion_tokens, seconds, reply.timings.decode_tokens_per_second)
        return done

    return turns


def theirs(engine: Any, *, stream: bool) -> Turns:
    """Rounds of the official binding."""
    sampler = official.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)

    def turns(wanted: int) -> Round:
        done = Round()
        with engine.create_conversation(sampler_config=sampler, max_output_tokens=wanted) as conversation:
            for prompt in PROMPTS:
                if done.engine_tokens >= wanted:
                    break
                first = 0.0
                if stream:
                    for _ in conversation.send_message_async(prompt):
                        first = first or time.perf_counter()
                else:
                    first = time.perf_counter()
                    conversation.send_message(prompt)
                seconds = time.perf_counter() - first
                info = conversation.get_benchmark_info()
                done.add(info.last_decode_token_count, seconds, info.last_decode_tokens_per_second)
        return done

    return turns


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """That many threads in pure Python loops."""
    stop = threading.Event()

    def spin() -> None:
        value = 1
        while not stop.is_set():
            for _ in range(1000):
                value = (value * 31 + 7) % 1_000_003

    threads = [threading.Thread(target=spin, name="busy", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def measure(contenders: dict[str, Turns], rounds: int, tokens: int) -> list[dict[str, Round]]:
    """Rounds of all contenders, who begins changing from one to the next."""
    names = list(contenders)
    results = []
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        results.append({name: contenders[name](tokens) for name in order})
    return results


def summarise(rounds: list[dict[str, Round]]) -> dict[str, float]:
    """Medians of rates and of ratios within rounds."""

    def median(value: Callable[[dict[str, Round]], float]) -> float:
        return statistics.median(value(one) for one in rounds)

    summary = {
        "litertlm": median(lambda one: one["ours"].rate),
        "engine": median(lambda one: one["ours"].engine_rate),
        "/engine": median(lambda one: one["ours"].rate / one["ours"].engine_rate),
        "tokens": median(lambda one: one["ours"].engine_tokens),
    }
    if "stream" in rounds[0]:
        summary |= {
            "official": median(lambda one: one["stream"].rate),
            "blocking": median(lambda one: one["blocking"].engine_rate),
            "/official": median(lambda one: one["ours"].rate / one["stream"].rate),
            "/blocking": median(lambda one: one["ours"].rate / one["blocking"].engine_rate),
        }
    return summary


def run(model: Path, rounds: int, threads: int, tokens: int) -> dict[str, Any]:
    """The whole measurement."""
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        client = stack.enter_context(
            Client(model, threads=threads, cache_dir=cache, vision_backend="off", audio_backend="off")
        )
        contenders = {"ours": ours(client)}
        if official is not None:
            official.set_min_log_severity(official.LogSeverity.SILENT)
            engine = stack.enter_context(
                official.Engine(
                    str(model),
                    backend=official.Backend.CPU(thread_count=threads),
                    cache_dir=cache,
                    enable_benchmark=True,
                )
            )
            contenders["stream"] = theirs(engine, stream=True)
            contenders["blocking"] = theirs(engine, stream=False)
        measure(contenders, 1, tokens)  # not counted: page faults, first-time costs
        results = {}
        for busy in BUSY:
            with busy_threads(busy):
                results[busy] = summarise(measure(contenders, rounds, tokens))
    return {
        "model": model.name,
        "rounds": rounds,
        "engine_threads": threads,
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "busy": results,
    }


def verdicts(busy: dict[int, dict[str, float]]) -> list[tuple[str, bool]]:
    """Each aim, and whether it was met."""
    lines = [
        (
            f"idle: {busy[0]['/engine']:.2f} of the engine's rate, aim {AIM_IDLE}",
            busy[0]["/engine"] >= AIM_IDLE,
        )
    ]
    if "/official" in busy[1]:
        ratio = busy[1]["/official"]
        lines.append(
            (f"one busy thread: {ratio:.1f} times the official binding, aim {AIM_BUSY:g}", ratio >= AIM_BUSY)
        )
    return lines


def show(report: dict[str, Any]) -> None:
    """Print a table, bars and verdicts."""
    busy = report["busy"]
    columns = [name for name in ("engine", "blocking", "litertlm", "official") if name in busy[0]]
    ratios = [name for name in ("/engine", "/blocking", "/official") if name in busy[0]]
    print(
        f"{report['model']}, {report['engine_threads']} engine thread(s), {report['rounds']} rounds of "
        f"{busy[0]['tokens']:.0f} tokens, {report['machine']}, load {report['load_before']}\n"
    )
    print("tokens/s      " + "".join(f"{name:>11}" for name in columns + ratios))
    for count, row in busy.items():
        cells = [f"{row[name]:>11.0f}" for name in columns] + [f"{row[name]:>11.2f}" for name in ratios]
        print(f"{count} busy thread{' ' if count == 1 else 's'}" + "".join(cells))
    print()
    for count, row in busy.items():
        for name in columns:
            width = round(50 * row[name] / max(row[column] for column in columns))
            print(f"{count} busy {name:<9} {'#' * width}")
    print()
    for text, met in verdicts(busy):
        print(f"{'met   ' if met else 'MISSED'}  {text}")
    if official is None:
        print("The official binding is not installed: pip install litert-lm-api")


def main() -> int:
    """The command; 1 when an aim was missed."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", type=Path, help="a .litertlm file; default: the bundled model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="engine threads, on both sides")
    parser.add_argument("--tokens", type=int, default=300, help="per round, at least, while prompts last")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    model = arguments.model or Path(bundled_model())
    report = run(model, arguments.rounds, arguments.threads, arguments.tokens)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0 if all(met for _, met in verdicts(report["busy"])) else 1


if __name__ == "__main__":
    sys.exit(main())
