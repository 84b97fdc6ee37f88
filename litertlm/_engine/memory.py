"""How much memory is free."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["free_memory"]


def free_memory() -> int | None:
    """Bytes that this process may still take without anything being swapped out; None when unknown.

    A container's limit is respected; file pages that the system can drop count as free.
    """
    found = [bytes_ for bytes_ in (_free_in_system(), _free_in_group()) if bytes_ is not None]
    return min(found, default=None)


def _free_in_system() -> int | None:
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _free_in_group() -> int | None:
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
