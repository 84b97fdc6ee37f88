"""Memory that chats take, our own engine beside the official binding.

::

    python bench/memory.py --model FILE [--tokens 100 1000 4000] [--chats 1 16] [--threads N] [--context 4096]

Each case is a process of its own: it loads the model and opens so many chats, each of which reads a prompt of
so many tokens and stays open. Memory is read from outside, in MiB:

- a chat: by how much the memory that no file stands behind has grown since the model was loaded, for each
  chat; what an engine makes once, when it first runs, is in it;
- anonymous: all of that memory, at the end;
- Pss: that, and the process's share of mapped files, at the end;
- peak RSS: the most that was resident at any time, mapped files included.

Both engines hand back to the system what they free (``MALLOC_MMAP_THRESHOLD_``), so that no chat gets for
nothing what an earlier one has left. ``--context`` is what the official engine is told that a chat has to
hold. A case that would take more memory than is free is not run: its row has the memory of so many chats of
the next smaller case, and says "computed". One that does not fit the context says so.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.worker import PeerFailed, Worker

MARGIN = 1.1
"""A case is run if so many times what it is expected to take is free."""
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}


@dataclass(frozen=True)
class Case:
    """What was measured.

    Attributes:
        tokens: That the shortest of the chats holds, 0 when it was not run.
        chat: MiB a chat.
        anonymous: MiB.
        pss: MiB.
        peak: MiB.
    """

    tokens: int
    chat: float
    anonymous: float
    pss: float
    peak: float


def mebibytes(pid: int, file: str, field: str) -> float:
    """A field of a file in ``/proc``, in MiB."""
    said = Path("/proc", str(pid), file).read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB", said, re.MULTILINE)
    assert found, field
    return int(found[1]) / 1024


def available() -> float:
    """MiB that could be taken now without swapping."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert found
    return int(found[1]) / 1024


def measured(maker: Sequence[Any], tokens: int, chats: int) -> Case:
    """One case, in a process of its own."""
    with Worker(*maker, environment=ENVIRONMENT) as worker:
        # If memory runs out all the same, it is this process that has to go.
        Path("/proc", str(worker.pid), "oom_score_adj").write_text("1000", encoding="ascii")
        before = mebibytes(worker.pid, "status", "RssAnon")
        held = worker.ask("hold", chats, tokens)
        after = mebibytes(worker.pid, "status", "RssAnon")
        return Case(
            min(held),
            (after - before) / chats,
            after,
            mebibytes(worker.pid, "smaps_rollup", "Pss"),
            mebibytes(worker.pid, "status", "VmHWM"),
        )


def computed(smaller: Case, of: int, chats: int) -> Case:
    """What so many chats would take, if each further one takes what those of the smaller case took."""
    more = (chats - of) * smaller.chat
    return Case(0, smaller.chat, smaller.anonymous + more, smaller.pss + more, smaller.peak + more)


def cells(case: Case) -> str:
    """Of the table."""
    held = str(case.tokens) if case.tokens else "computed"
    return f"{held} | {case.chat:.1f} | {case.anonymous:.0f} | {case.pss:.0f} | {case.peak:.0f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--context", type=int, default=4096, help="tokens, of the official engine")
    arguments = parser.parse_args()
    model = (arguments.model, arguments.threads)
    print(
        "| tokens | chats | engine | tokens held | a chat | anonymous | Pss | peak RSS | native / official |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as cache:
        makers = {
            "official": ("peers.official:OfficialChats", *model, cache, arguments.context),
            "native": ("peers.native:NativeChats", *model, "mapped"),
        }
        for tokens in arguments.tokens:
            smaller: dict[str, tuple[Case, int]] = {}
            for chats in sorted(arguments.chats):
                taken: dict[str, float] = {}
                for name, maker in makers.items():
                    row = f"| {tokens} | {chats} | {name} |"
                    try:
                        if name in smaller and chats * smaller[name][0].chat * MARGIN > available():
                            case = computed(*smaller[name], chats)
                        else:
                            case = measured(maker, tokens, chats)
                            smaller[name] = case, chats
                    except PeerFailed as failure:
                        print(f"{row} failed: {failure} | | | | | |", flush=True)
                        continue
                    taken[name] = case.chat
                    share = f"{case.chat / taken['official']:.3f}" if "official" in taken else ""
                    print(f"{row} {cells(case)} | {share if name == 'native' else ''} |", flush=True)


if __name__ == "__main__":
    main()
