"""Ctrl-C at any moment of a blocking send: the chat is as it was, and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import os, random, signal, sys, threading
from litertlm import Client

SIGNALS = int(sys.argv[2])
random.seed(SIGNALS)

def press_ctrl_c(chat, done, delay):
    while chat._gate.guest is None and not done.is_set():
        pass
    for _ in range(SIGNALS):
        for _ in range(delay):
            pass
        if not done.is_set():
            os.kill(os.getpid(), signal.SIGINT)

with Client(sys.argv[1]) as client, client.chat(sampler={"temperature": 0}, max_output_tokens=4) as chat:
    chat.send("hello")
    interrupted = 0
    for round in range(25):
        before = chat.history, chat.usage
        done = threading.Event()
        delay = random.randrange(1, 400_000)
        thread = threading.Thread(target=press_ctrl_c, args=(chat, done, delay))
        try:
            try:
                thread.start()
                chat.send("Tell me a story.", max_output_tokens=500)
            finally:
                done.set()
                thread.join()
        except KeyboardInterrupt:
            interrupted += 1
            # Kept or undone, never anything between.
            assert len(chat.history) in (len(before[0]), len(before[0]) + 2)
            assert (chat.usage == before[1]) == (chat.history == before[0])
        except Exception as error:
            print(type(error).__name__, error)
            break
        if chat.context.remaining < 800:
            break
        while True:
            try:
                chat.send("hello")
                break
            except KeyboardInterrupt:
                pass
    print("interrupted" if interrupted else "never interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
@pytest.mark.parametrize("signals", [1, 2], ids=["once", "twice"])
def test_ctrl_c_leaves_the_chat_usable(model_path: Path, signals: int) -> None:
    """Also when a second one comes while the first is being cleaned up after."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model_path), str(signals)],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
