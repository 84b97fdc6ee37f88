"""What the README and the docs show works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from litertlm import Chat, Client

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def complete_programs(page: Path) -> list[str]:
    """Python blocks that open a client and name no file that only the reader has."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in blocks if "import Client" in block and "photo.jpg" not in block]


@pytest.mark.parametrize(
    "program",
    [program for page in PAGES[:1] for program in complete_programs(page)],
    ids=["text", "image", "tool"],
)
def test_the_readmes_programs_run(program: str) -> None:
    """As a reader would paste them."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.parametrize("name", ["chat.md", "events.md", "telemetry.md"])
def test_the_blocks_of_a_page_run_one_after_the_other(
    name: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the names that the blocks before them made; ``client`` is an open one."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        names["client"] = client
        exec(compile(block, name, "exec"), names)
    for made in names.values():
        if isinstance(made, Chat):
            made.close()
    assert blocks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files that exist."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
