"""Long use leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SETTLED = 10
"""After that many turns or chats, everything that is allocated once has been."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module", params=["litert", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    """Whose memory it is."""
    return str(request.param)


@pytest.fixture(scope="module")
def report(model_path: Path, engine: str) -> dict[str, Any]:
    """What 300 turns on one chat and 200 chats on one client leave behind."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(HERE / "soak.py"), str(model_path), engine],
        capture_output=True,
        text=True,
        timeout=1100,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def resident(report: dict[str, Any], name: str) -> dict[int, float]:
    """Resident memory in MiB, by the number of turns or chats."""
    return {int(number): sizes["VmRSS"] for number, sizes in report[name].items()}


def growth(sizes: dict[int, float], start: int) -> float:
    """By how many MiB the memory grew after ``start``, at most."""
    return max(size for number, size in sizes.items() if number >= start) - sizes[start]


def test_memory_is_flat_over_300_turns(report: dict[str, Any]) -> None:
    """A third of them kept, so buffers grow a little with the context; in the second half nothing grows."""
    sizes = resident(report, "turns")
    assert max(sizes) == 300
    assert growth(sizes, SETTLED) < 6, sizes
    assert growth(sizes, 150) < 1.5, sizes


def test_memory_is_flat_over_200_chats(report: dict[str, Any]) -> None:
    """Each with words, a picture or a sound, every fourth left in the middle."""
    sizes = resident(report, "chats")
    assert max(sizes) == 200
    assert growth(sizes, SETTLED) < 3, sizes


def test_no_thread_or_descriptor_is_left(report: dict[str, Any]) -> None:
    """Neither by turns and chats nor by the client."""
    assert report["after chats"] == report["after turns"]
    assert report["after"] == report["before"]


def test_our_own_engine_gives_everything_back(report: dict[str, Any], engine: str) -> None:
    """The KV of a chat with the chat, but for the one beginning of all chats; its threads with the client."""
    if engine == "litert":
        pytest.skip("the official engine keeps threads, and does not tell its KV")
    assert report["KV after turns"] == 0
    kept = {sizes["KV"] for sizes in report["chats"].values()}
    assert kept == {report["KV after chats"]}
    assert 0 < report["KV after chats"] < max(sizes["KV"] for sizes in report["turns"].values())
    assert report["after"] == report["idle"]
