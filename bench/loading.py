"""How soon a model is ready to answer, beside the official engine.

::

    python bench/loading.py --model FILE [--rounds 5] [--threads N]

Each loading is a fresh process, the contenders taking turns, with the file and whatever an engine keeps
prepared of it in the page cache: every contender loads the model once before anything is counted. Figures are
medians in seconds, on the clock:

- ready: from the call of ``Client(model)``, or of what is like it, until a chat can be opened. The import of
  litertlm, or of the binding, is not counted; what they import only now is;
- first token: from there on, of a short first message, which is when engines do what they have put off;
- again: a second ``Client(model)`` in the same process, beside the first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from typing import Any

from peers.worker import Worker

PROMPT = 32  # tokens


def loaded(*maker: Any) -> tuple[float, float, float]:
    """Seconds until it is ready, from then on to the first token, and until a second one is ready."""
    with Worker(*maker) as worker:
        (first,) = worker.ask("together", 1, PROMPT, 1)
        return worker.made_in, first["seconds"], worker.make_another()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    model = (arguments.model, arguments.threads)
    with tempfile.TemporaryDirectory() as cache:
        contenders = {
            "native": ("peers.native:NativeChats", *model, "mapped"),
            "native-huge": ("peers.native:NativeChats", *model, "copied"),
            "official": ("peers.official:OfficialChats", *model, cache),
        }
        for maker in contenders.values():
            loaded(*maker)
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, maker in contenders.items():
                times[name].append(loaded(*maker))
    print("| engine | ready | longest | first token | again | official / it: ready | ready and first token |")
    print("|---|---|---|---|---|---|---|")
    for name, rounds in times.items():
        ready, first, again = zip(*rounds, strict=True)
        pairs = list(zip(times["official"], rounds, strict=True))
        faster = statistics.median(theirs[0] / mine[0] for theirs, mine in pairs)
        both = statistics.median(sum(theirs[:2]) / sum(mine[:2]) for theirs, mine in pairs)
        print(
            f"| {name} | {statistics.median(ready):.3f} | {max(ready):.3f} | {statistics.median(first):.3f} "
            f"| {statistics.median(again):.3f} | {faster:.1f} | {both:.1f} |"
        )


if __name__ == "__main__":
    main()
