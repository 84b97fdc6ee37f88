"""How fast engines prefill and decode, side by side on the same weights.

::

    python bench/engines.py --model FILE [--gguf FILE] [--openvino DIR] [--avx2] [--rounds 4] [--threads N]
                            [--prompts 256 1900] [--decode 48] [--only PEER ...] [--busy]
                            [--python llama=EXE ...] [--json FILE]
    python bench/summary.py FILE.json ... [--plot FILE.svg]

Each engine lives in a process of its own, all of them at once, and they take turns: in every round each one
prefills a prompt in an empty context and decodes, the others idle. Figures are medians over the rounds;
ratios are computed within each round, and their medians are shown.

The read bandwidth of memory is measured in every round too, as decoding is made of reading. Two shares of it
are shown, each a number of bytes times the rate over the bandwidth. ``weights``: what one token's products
have to read of the model file, that is every matrix that a product reads, with its scales; a table of
embeddings only if it is the matrix of the logits too, as otherwise one row of it is looked up. It is the same
number of bytes for all engines, though llama.cpp and OpenVINO read files of their own. ``with KV``: the keys
and values too that our own engine reads at this length in float16, windows considered, on average over the
tokens decoded; other engines keep other caches, so it is shown for ours alone. Activations are not counted,
they stay in the CPU's caches.

``--busy``: one core has something else to do all the time. ``--python``: the interpreter that has a peer
installed. ``--json``: what was measured, for ``bench/summary.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from peers.worker import Worker, interpreter

ROOT = Path(__file__).resolve().parent.parent
PEERS = {
    "native": "peers.native:mapped",
    "native-huge": "peers.native:copied",
    "native-avx2": "peers.native:avx2",
    "official": "peers.official:OfficialPeer",
    "llama": "peers.llamacpp:mapped",
    "llama-repacked": "peers.llamacpp:repacked",
    "openvino": "peers.openvino:OpenVinoPeer",
}
OURS = ("native", "native-huge", "native-avx2")
Rounds = list[dict[str, float]]
"""What a peer reached: ``{"prefill": ..., "decode": ...}`` for each round, tokens a second."""


@contextmanager
def bandwidth_probe(threads: int) -> Iterator[Any]:
    """A function that measures how fast memory is read now, in GB/s."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "bandwidth")
        source = ROOT / "csrc" / "bench" / "bandwidth.c"
        subprocess.run(["cc", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
        yield lambda: float(subprocess.check_output([program, "512", str(threads)]))


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Another process that never rests, for the length of the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def models_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The peers that were asked for, and what each of them loads."""
    models = {"native": arguments.model, "native-huge": arguments.model}
    if arguments.avx2:
        models["native-avx2"] = arguments.model
    models["official"] = arguments.model
    if arguments.gguf:
        models |= {"llama": arguments.gguf, "llama-repacked": arguments.gguf}
    if arguments.openvino:
        models["openvino"] = arguments.openvino
    return {name: model for name, model in models.items() if name in (arguments.only or models)}


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds.

    Returns:
        ``model``: its name; ``threads``; ``busy``; ``bandwidth``: GB/s, one for each round and prompt;
        ``reads``: for each prompt, bytes read for a token, ``{"weights", "kv"}``; ``rates``: for each prompt,
        for each peer, its :data:`Rounds`.
    """
    rates: dict[str, dict[str, Rounds]] = {str(prompt): {} for prompt in arguments.prompts}
    read: list[float] = []
    reads: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        bandwidth = stack.enter_context(bandwidth_probe(arguments.threads))
        workers = {}
        for name, model in models_of(arguments).items():
            python = interpreter(name, arguments.python)
            worker = Worker(PEERS[name], model, arguments.threads, python=python)
            workers[name] = stack.enter_context(worker)
        for prompt in arguments.prompts:
            for name, worker in workers.items():
                worker.ask("measure", min(prompt, 64), 4)  # first passes touch memory for the first time
                if name in OURS:
                    reads[str(prompt)] = worker.ask("reads", prompt, arguments.decode)
        with busy_core(arguments.busy):
            for number in range(arguments.rounds):
                for prompt in arguments.prompts:
                    read.append(bandwidth())
                    for name, worker in workers.items():
                        note = f"round {number + 1}/{arguments.rounds}, {prompt} tokens: {name}"
                        print(f"\r\x1b[K{note}", end="", file=sys.stderr, flush=True)
                        one = worker.ask("measure", prompt, arguments.decode)
                        rates[str(prompt)].setdefault(name, []).append(one)
        print("\r\x1b[K", end="", file=sys.stderr)
    return {
        "model": Path(arguments.model).stem,
        "threads": arguments.threads,
        "busy": arguments.busy,
        "bandwidth": read,
        "reads": reads,
        "rates": rates,
    }


def report(result: dict[str, Any]) -> None:
    """Print the tables."""
    read = statistics.median(result["bandwidth"])
    low, high = min(result["bandwidth"]), max(result["bandwidth"])
    print(f"{title(result)}, {result['threads']} threads")
    print(f"read bandwidth {read:.1f} GB/s ({low:.1f} to {high:.1f})")
    for prompt, bytes_ in result["reads"].items():
        print(
            f"a token after {prompt}: {bytes_['weights'] / 1e6:.0f} MB of weights, "
            f"{bytes_['kv'] / 1e6:.0f} MB of KV"
        )
    print(
        "\n| prompt | engine | prefill tok/s | decode tok/s | prefill range | decode range | of bandwidth |"
    )
    print("|---|---|---|---|---|---|---|")
    for prompt, peers in result["rates"].items():
        for name, rounds in peers.items():
            prefill = [one["prefill"] for one in rounds]
            decode = [one["decode"] for one in rounds]
            print(
                f"| {prompt} | {name} | {statistics.median(prefill):.0f} | {statistics.median(decode):.1f} "
                f"| {min(prefill):.0f} to {max(prefill):.0f} | {min(decode):.1f} to {max(decode):.1f} "
                f"| {share(result, prompt, name, 'weights')} |"
            )
    print(f"\n{comparison([result])}")


def comparison(results: Sequence[dict[str, Any]]) -> str:
    """Ours over the official engine and the best of the others, and shares of the bandwidth, as Markdown."""
    lines = [
        "| model | prompt | ours | prefill / official | decode / official | prefill / best other "
        "| decode / best other | weights, of bandwidth | with KV |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for prompt, peers in result["rates"].items():
            others = [name for name in peers if name not in OURS and name != "official"]
            for name in (name for name in OURS if name in peers):
                cells = [
                    f"{ratio(peers, name, versus, kind):.2f}" if versus else "-"
                    for versus in (["official"] if "official" in peers else [], others)
                    for kind in ("prefill", "decode")
                ]
                cells += [
                    share(result, prompt, name, "weights"),
                    share(result, prompt, name, "weights", "kv"),
                ]
                lines.append(f"| {title(result)} | {prompt} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def title(result: dict[str, Any]) -> str:
    """What was measured."""
    return f"{result['model']}{', one core busy' if result['busy'] else ''}"


def share(result: dict[str, Any], prompt: str, name: str, *what: str) -> str:
    """Of the bandwidth, that decoding takes to read ``weights``, ``kv`` or both; "-": unknown."""
    if prompt not in result["reads"]:
        return "-"
    decode = statistics.median(one["decode"] for one in result["rates"][prompt][name])
    read = sum(result["reads"][prompt][each] for each in what)
    return f"{decode * read / 1e9 / statistics.median(result['bandwidth']):.0%}"


def ratio(peers: dict[str, Rounds], name: str, versus: Sequence[str], kind: str) -> float:
    """Median over the rounds of a peer's rate over the best of the others in that round."""
    return statistics.median(
        one[kind] / max(peers[other][number][kind] for other in versus)
        for number, one in enumerate(peers[name])
    )


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf")
    parser.add_argument("--openvino")
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="PEER")
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompts", type=int, nargs="+", default=[256, 1900])
    parser.add_argument("--decode", type=int, default=48)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=EXE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments)
    report(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
