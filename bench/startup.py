"""What ``import litertlm`` costs, beside ``import litert_lm``, and what it brings along.

::

    python bench/startup.py [--rounds 15] [--top 12] [--wheel FILE] [--json]

Each import runs in a fresh interpreter with compiled modules at hand, the contenders taking turns. Figures
are medians of the import's own CPU time, which other load on the machine disturbs less than the clock's;
the interpreter's start is not in them. The modules' times are those of ``-X importtime``: their own, without
what they import.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTENDERS = {"litertlm": "litertlm", "official": "litert_lm"}

CLOCKED = """
import sys, time
before = set(sys.modules)
started = time.process_time()
import {module}
seconds = time.process_time() - started
print(seconds, len(set(sys.modules) - before))
"""


class Interpreters:
    """Starts fresh interpreters that keep compiled modules in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One, to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )


def clock(python: Interpreters, module: str) -> tuple[float, int] | None:
    """Milliseconds to import it, and how many modules that loads; None when it is not there."""
    done = python.run("-c", CLOCKED.format(module=module))
    if done.returncode:
        return None
    seconds, modules = done.stdout.split()
    return float(seconds) * 1000, int(modules)


def slowest(python: Interpreters, module: str, top: int) -> list[tuple[str, float]]:
    """The modules that take longest by themselves, in milliseconds, beyond those that Python starts with."""
    started = modules_of(python.run("-X", "importtime", "-c", "pass").stderr)
    took = modules_of(python.run("-X", "importtime", "-c", f"import {module}").stderr)
    new = [(name, own / 1000) for name, own in took.items() if name not in started]
    return sorted(new, key=lambda item: -item[1])[:top]


def modules_of(report: str) -> dict[str, int]:
    """Microseconds of each module by itself, from a report of ``-X importtime``."""
    return {name: int(own) for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", report)}


def dependencies() -> list[str]:
    """What an installation without extras needs; nothing when litertlm is not installed."""
    try:
        required = importlib.metadata.requires("litertlm")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in required or () if "extra ==" not in line]


def run(python: Interpreters, rounds: int, top: int) -> dict[str, Any]:
    """The whole measurement."""
    for module in CONTENDERS.values():
        clock(python, module)  # not counted: it compiles the modules, and fills the file cache
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    counts: dict[str, int] = {}
    for number in range(rounds):
        order: Sequence[str] = list(CONTENDERS) if number % 2 else list(reversed(CONTENDERS))
        for name in order:
            found = clock(python, CONTENDERS[name])
            if found:
                times[name].append(found[0])
                counts[name] = found[1]
    return {
        "rounds": rounds,
        "milliseconds": {name: statistics.median(found) for name, found in times.items() if found},
        "modules": counts,
        "slowest": slowest(python, "litertlm", top),
        "dependencies": dependencies(),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--top", type=int, default=12, help="how many of the slowest modules to list")
    parser.add_argument("--wheel", type=Path, help="a built wheel whose size to print")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(Interpreters(Path(folder)), arguments.rounds, arguments.top)
    if arguments.wheel:
        report["wheel"] = {"name": arguments.wheel.name, "mebibytes": arguments.wheel.stat().st_size / 2**20}
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    print(f"median of {report['rounds']} fresh interpreters")
    for name, milliseconds in report["milliseconds"].items():
        print(f"  import {CONTENDERS[name]:<10} {milliseconds:7.1f} ms  {report['modules'][name]:4} modules")
    print("slowest modules of litertlm, by themselves")
    for name, milliseconds in report["slowest"]:
        print(f"  {milliseconds:7.1f} ms  {name}")
    print("base dependencies")
    for line in report["dependencies"]:
        print(f"  {line}")
    if arguments.wheel:
        print(f"wheel\n  {report['wheel']['mebibytes']:.2f} MiB  {report['wheel']['name']}")


if __name__ == "__main__":
    main()
