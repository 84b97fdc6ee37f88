"""How fast engines prefill and decode, side by side on the same weights.

::

    python bench/engines.py --model FILE [--gguf FILE] [--openvino DIR] [--avx2] [--rounds 4] [--threads N]
                            [--prompts 256 1900] [--decode 48] [--busy] [--python llama=EXE ...] [--json FILE]

Each engine lives in a process of its own, all of them at once, and they take turns: in every round each one
prefills a prompt in an empty context and decodes, the others idle. Figures are medians over the rounds;
ratios are computed within each round, and their medians are shown. The read bandwidth of memory is measured
in every round too: decoding reads all weights for every token, so their size times the rate, over the
bandwidth, is the share of the machine that it uses.

``--busy``: one core has something else to do all the time. ``--python``: the interpreter that has a peer
installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = {
    "native": ("native", "mapped"),
    "native-huge": ("native", "copied"),
    "native-avx2": ("native", "avx2"),
    "official": ("official", "OfficialPeer"),
    "llama": ("llamacpp", "mapped"),
    "llama-repacked": ("llamacpp", "repacked"),
    "openvino": ("openvino", "OpenVinoPeer"),
}
OURS = ("native", "native-huge", "native-avx2")


class Worker:
    """A peer in a process of its own, asked in JSON lines."""

    def __init__(self, name: str, model: str, threads: int, python: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, __file__, "--worker", name, "--model", model, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCH_LOUD") else None,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self._answer()

    def measure(self, prompt: int, decode: int) -> dict[str, float]:
        """One measurement."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([prompt, decode]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        raise SystemExit(f"{self.name} has died; set BENCH_LOUD=1 to see why")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def serve(name: str, model: str, threads: int) -> None:
    """The worker's side."""
    module, maker = PEERS[name]
    peer = getattr(__import__(f"bench.peers.{module}", fromlist=[maker]), maker)(model, threads)
    print("@{}", flush=True)
    for line in sys.stdin:
        prompt, decode = json.loads(line)
        rates = peer.measure(prompt, decode)
        print("@" + json.dumps({"prefill": rates.prefill, "decode": rates.decode}), flush=True)


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


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds: ``{"bandwidth": [...], "rates": {prompt: {peer: [{"prefill", "decode"}, ...]}}}``."""
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    models = {"native": arguments.model, "native-huge": arguments.model, "official": arguments.model}
    if arguments.avx2:
        models["native-avx2"] = arguments.model
    if arguments.gguf:
        models |= {"llama": arguments.gguf, "llama-repacked": arguments.gguf}
    if arguments.openvino:
        models["openvino"] = arguments.openvino
    if arguments.only:
        models = {name: model for name, model in models.items() if name in arguments.only}
    rates: dict[str, dict[str, list[dict[str, float]]]] = {}
    with ExitStack() as stack:
        bandwidth = stack.enter_context(bandwidth_probe(arguments.threads))
        workers = []
        for name, model in models.items():
            python = pythons.get(PEERS[name][0], sys.executable)
            workers.append(Worker(name, model, arguments.threads, python))
            stack.callback(workers[-1].close)
        for prompt in arguments.prompts:
            for worker in workers:  # first passes touch memory for the first time
                worker.measure(min(prompt, 64), 4)
        read: list[float] = []
        with busy_core(arguments.busy):
            for round_ in range(arguments.rounds):
                for prompt in arguments.prompts:
                    read.append(bandwidth())
                    for worker in workers:
                        note = f"round {round_ + 1}/{arguments.rounds}, {prompt} tokens: {worker.name}"
                        print(f"\r\x1b[K{note}", end="", file=sys.stderr, flush=True)
                        rates.setdefault(str(prompt), {}).setdefault(worker.name, []).append(
                            worker.measure(prompt, arguments.decode)
                        )
        print("\r\x1b[K", end="", file=sys.stderr)
    return {"bandwidth": read, "rates": rates, "weights": Path(arguments.model).stat().st_size}


def report(result: dict[str, Any]) -> None:
    """Print the table."""
    read = statistics.median(result["bandwidth"])
    low, high = min(result["bandwidth"]), max(result["bandwidth"])
    print(
        f"read bandwidth {read:.1f} GB/s ({low:.1f} to {high:.1f}), file {result['weights'] / 1e6:.0f} MB\n"
    )
    print("| prompt | engine | prefill tok/s | decode tok/s | prefill range | decode range | of bandwidth |")
    print("|---|---|---|---|---|---|---|")
    for prompt, peers in result["rates"].items():
        for name, rounds in peers.items():
            prefill = [one["prefill"] for one in rounds]
            decode = [one["decode"] for one in rounds]
            share = statistics.median(decode) * result["weights"] / 1e9 / read
            print(
                f"| {prompt} | {name} | {statistics.median(prefill):.0f} | {statistics.median(decode):.1f} "
                f"| {min(prefill):.0f} to {max(prefill):.0f} "
                f"| {min(decode):.1f} to {max(decode):.1f} | {share:.0%} |"
            )
    print(
        "\n| prompt | ours | prefill / official | decode / official "
        "| prefill / best other | decode / best other |"
    )
    print("|---|---|---|---|---|---|")
    for prompt, peers in result["rates"].items():
        others = [name for name in peers if name not in OURS and name != "official"]
        for name in (name for name in OURS if name in peers):
            cells = [
                f"{_ratio(peers, name, versus, kind):.2f}" if versus else "-"
                for versus in (("official",) if "official" in peers else (), tuple(others))
                for kind in ("prefill", "decode")
            ]
            print(f"| {prompt} | {name} | {' | '.join(cells)} |")


def _ratio(peers: dict[str, list[dict[str, float]]], name: str, versus: tuple[str, ...], kind: str) -> float:
    """Median over the rounds of our rate over the best of the others in that round."""
    rounds = range(len(peers[name]))
    return statistics.median(
        peers[name][i][kind] / max(peers[other][i][kind] for other in versus) for i in rounds
    )


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf")
    parser.add_argument("--openvino")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompts", type=int, nargs="+", default=[256, 1900])
    parser.add_argument("--decode", type=int, default=48)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=EXE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker, arguments.model, arguments.threads)
        return
    result = measured(arguments)
    report(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
