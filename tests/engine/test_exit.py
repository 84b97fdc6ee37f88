"""The end of the interpreter, whatever is still open then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Modules that something refers to are emptied one after the other, the first that was imported last, and with
# it what it holds is destroyed.
KEEPS = """
import sys, json
import litertlm._engine.handle

sys.modules_kept = [json, sys.modules["litertlm._engine.handle"]]
json.client = litertlm.Client({path!r}, engine={engine!r})
json.chat = json.client.chat()
json.chat.send("Hello!", max_output_tokens=1)
if {closed}:
    json.client.close()
"""


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("engine", ["native", "litert"])
def test_nothing_is_said_at_the_very_end(model_path: Path, engine: str, closed: bool) -> None:
    """What was forgotten is closed, and what is left of it has nothing more to do."""
    code = KEEPS.format(path=str(model_path), engine=engine, closed=closed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
