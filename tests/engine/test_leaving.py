"""Control comes back at once, also while the engine cannot be interrupted.

The bundled model reads too fast to show it. So the adapter runs on the library of the C tests here, whose
prefill goes on until the test ends it, whatever is asked of it; a call that waits for it would never return.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litertlm import Chat, Client, ClosedError, DeadlineExceeded
from litertlm._engine.seam import Conversation, Engine, Preface, Turn
from litertlm.options import TurnOptions

from .conftest import Said, user

SOURCES = Path(__file__).parents[2] / "csrc" / "tests"
CHUNK = json.dumps({"role": "assistant", "content": [{"type": "text", "text": "x"}]}).encode()

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the stub engine is built as a Linux shared library"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="csrc/tests is not part of an installed package"),
    pytest.mark.skipif(not shutil.which("make"), reason="there is no make"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the C tests, with the version that the adapter looks for."""
    folder = tmp_path_factory.mktemp("stub")
    target = folder / "libstub-engine.so"
    command = ["make", "--silent", "-C", SOURCES, target, f"BUILD={folder}", "SANITIZE="]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with target.open("ab") as file:
        file.write(b"\0" + b"0.18.1" + b"\0")
    return target


@pytest.fixture
def stub(library: Path) -> Iterator[ctypes.CDLL]:
    """What scripts it. A prefill that a failed test left is ended, lest nothing ever ends."""
    loaded = ctypes.CDLL(str(library))
    loaded.stub_reset()
    loaded.stub_say(CHUNK)
    yield loaded
    loaded.stub_end_prefill()


@pytest.fixture
def slow(library: Path, stub: ctypes.CDLL, model_path: Path) -> Iterator[Client]:
    """A client on it."""
    with Client(model_path, lib=library) as client:
        yield client
        stub.stub_end_prefill()


def begun(conversation: Conversation, stub: ctypes.CDLL, **options: Any) -> Turn:
    """A turn in the middle of its prefill."""
    stub.stub_hold_prefill()
    turn = conversation.prepare(user("hello"), TurnOptions(**options))
    turn.start()
    assert turn.take(0) == ()
    return turn


def opened(client: Client) -> Conversation:
    """A conversation."""
    return client._engine.open(Preface())


def test_leaving_returns_in_the_middle_of_a_prefill(slow: Client, stub: ctypes.CDLL) -> None:
    """So does going back, forking, counting and closing; the next turn waits as long as it may."""
    conversation = opened(slow)
    mark = conversation.mark()
    turn = begun(conversation, stub)
    turn.close()
    turn.close()
    conversation.rewind(mark)
    assert conversation.token_count == 0
    assert conversation.count(user("hello")) > 0
    fork = conversation.fork()
    for each in (conversation, fork, opened(slow)):
        late = each.prepare(user("hello"), TurnOptions(timeout=0.02))
        with pytest.raises(DeadlineExceeded):
            late.start()
        late.close()
        if each is not conversation:
            each.close()
    stub.stub_end_prefill()
    assert Said(conversation.prepare(user("hello"), TurnOptions())).text == "xxx"
    conversation.close()


def test_a_conversation_is_closed_in_the_middle_of_a_prefill(slow: Client, stub: ctypes.CDLL) -> None:
    """With its turn, which says so to its reader."""
    conversation = opened(slow)
    turn = begun(conversation, stub)
    conversation.close()
    with pytest.raises(ClosedError):
        turn.take(None)
    stub.stub_end_prefill()
    other = opened(slow)
    assert Said(other.prepare(user("hello"), TurnOptions())).text == "xxx"
    other.close()


def test_a_chat_is_left_in_the_middle_of_a_prefill(slow: Client, stub: ctypes.CDLL) -> None:
    """By its timeout; the next message is sent when the engine is done."""
    with slow.chat() as chat:
        stub.stub_hold_prefill()
        with pytest.raises(DeadlineExceeded):
            chat.send("hello", timeout=0.02)
        with pytest.raises(DeadlineExceeded):
            chat.send("hello", timeout=0.02)
        assert chat.history == ()
        sent: list[str] = []
        sender = threading.Thread(target=lambda: sent.append(chat.send("hello").text))
        sender.start()
        stub.stub_end_prefill()
        sender.join()
        assert sent == ["xxx"]


def test_a_dropped_stream_is_left_in_the_middle_of_a_prefill(slow: Client, stub: ctypes.CDLL) -> None:
    """Its destructor does not wait either."""
    with slow.chat() as chat:
        stub.stub_hold_prefill()
        chat.send_stream("hello")
        gc.collect()
        assert chat.history == ()
        stub.stub_end_prefill()
        assert chat.send("hello").text == "xxx"


def test_a_continued_text_is_left_before_it_writes(slow: Client, stub: ctypes.CDLL) -> None:
    """Its session is freed when the engine lets go of it."""
    stub.stub_say(b"x")
    engine = slow._engine
    stub.stub_hold_prefill()
    turn = engine.complete("hello", TurnOptions())
    turn.start()
    assert turn.take(0) == ()
    turn.close()
    late = engine.complete("hello", TurnOptions(timeout=0.02))
    with pytest.raises(DeadlineExceeded):
        late.start()
    stub.stub_end_prefill()
    assert Said(engine.complete("hello", TurnOptions())).text == "xxx"


def test_closing_the_client_waits_for_the_engine(library: Path, stub: ctypes.CDLL, model_path: Path) -> None:
    """And nothing is left: no object of the engine, no thread, no reference."""
    before = stub.stub_live()
    with Client(model_path, lib=library) as client:
        conversation = opened(client)
        begun(conversation, stub).close()
        closer = threading.Thread(target=client.close)
        closer.start()
        closer.join(0.05)
        assert closer.is_alive()
        stub.stub_end_prefill()
        closer.join()
        engine: weakref.ref[Engine] = weakref.ref(client._engine)
    conversation.close()
    assert stub.stub_live() == before
    del conversation, client
    gc.collect()
    assert engine() is None


EXIT = """
import ctypes, sys, threading
from litertlm import Client
stub = ctypes.CDLL(sys.argv[2])
stub.stub_reset()
client = Client(sys.argv[1], lib=sys.argv[2])
chat = client.chat()
stub.stub_hold_prefill()
stream = chat.send_stream("hello")
stream.close()
# The prefill ends while the interpreter is on its way out.
threading.Timer(0.2, stub.stub_end_prefill).start()
print("leaving")
"""


def test_the_interpreter_exits_after_a_turn_was_left(library: Path, model_path: Path) -> None:
    """Without a crash, without a word, and not before the engine is done."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", EXIT, str(model_path), str(library)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


@pytest.mark.parametrize("tokens", [0, 1])
def test_the_next_reply_is_that_of_a_fresh_chat(client: Client, tokens: int) -> None:
    """On the real model, left in a long prefill or right after its first token, again and again."""
    long = "word " * 1700

    def greedy() -> Chat:
        return client.chat(sampler={"temperature": 0}, max_output_tokens=12)

    with greedy() as fresh:
        expected = fresh.send("hello").text
    with greedy() as chat:
        for _ in range(3):
            with chat.send_stream(long, max_output_tokens=100) as stream:
                for _ in range(tokens):
                    next(stream)
            assert chat.history == ()
        assert chat.send("hello").text == expected
