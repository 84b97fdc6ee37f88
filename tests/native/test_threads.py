"""Threads that compute are there while a model is open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A program of its own: other tests have models open.
COUNTS = """
import json
from pathlib import Path
from litertlm import Client

def count():
    counts.append(len(list(Path("/proc/self/task").iterdir())))

def opened():
    client = Client({path!r}, engine="native", vision_backend="off", audio_backend="off", threads=2)
    client.generate("Hello!", max_output_tokens=1)
    count()
    return client

counts = []
opened().close()  # what other libraries start once and keep
count()
first = opened()
second = opened()
first.close()
count()
second.close()
count()
opened().close()
count()
print(json.dumps(counts))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_last_model_to_be_closed_takes_its_threads_along(model_path: Path) -> None:
    """A model has one that forms passes; one that computes besides is shared. References do not matter."""
    code = COUNTS.format(path=str(model_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    one, none, *others = json.loads(done.stdout)
    assert one - none == 2
    assert others == [one, one + 1, one, none, one, none]
