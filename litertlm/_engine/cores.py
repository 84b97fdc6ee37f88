"""How many threads are worth starting."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_cores"]


def available_cores() -> int:
    """Physical cores that this process may use, at least 1.

    Two hyperthreads of a core count once, since a second thread on a core slows decoding down; a CPU affinity
    mask and a container's CPU quota are respected.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = {_siblings(cpu) for cpu in allowed}
        quota = _quota()
        return max(1, len(cores) if quota is None else min(len(cores), math.ceil(quota)))
    return max(1, os.cpu_count() or 1)


def _siblings(cpu: int) -> str:
    """Names the physical core that a logical CPU belongs to."""
    file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return str(cpu)


def _quota() -> float | None:
    """CPUs granted by the control group, None when unlimited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None
