"""Too little memory, or a CPU that lacks what was asked for: errors with a name, and the process goes on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from litertlm import Client, EngineError, OptionError

GREEDY = {"temperature": 0}
LACKING = "neon" if platform.machine().lower() in ("x86_64", "amd64") else "avx2"


def opened(path: Path, **options: object) -> Client:
    """The model on our own engine."""
    return Client(path, engine="native", vision_backend="off", audio_backend="off", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [LACKING, "sse9", "AVX2", " ", "a" * 10_000, "\udcff"])
@pytest.mark.parametrize("engine", ["native", "auto"])
def test_kernels_that_cannot_be_had(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: str
) -> None:
    """By a name of other CPUs, or of none: it is not another engine that was asked for."""
    with monkeypatch.context() as patched:
        patched.setenv("LITERTLM_KERNELS", name)
        with pytest.raises(OptionError, match=r"LITERTLM_KERNELS: .* no kernels named"):
            Client(model_path, engine=engine)  # type: ignore[arg-type]
    with opened(model_path) as client:
        assert client.generate("Hello!", max_output_tokens=4).text


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux lists them")
def test_a_load_that_fails_leaves_no_threads(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even as long as somebody holds the error, and what it refers to."""
    opened(model_path, threads=1).close()  # numpy has threads of its own, once it is loaded
    monkeypatch.setenv("LITERTLM_KERNELS", LACKING)
    before = len(list(Path("/proc/self/task").iterdir()))
    with pytest.raises(OptionError, match="no kernels named") as caught:
        opened(model_path, threads=os.cpu_count())
    assert len(list(Path("/proc/self/task").iterdir())) <= before
    assert caught.value.__traceback__


def test_a_chat_that_does_not_fit_the_limit(native: Client, model_path: Path) -> None:
    """Its turn fails, and it is as it was before; a chat beside it says what it always says."""
    story = "Tell me a story. " * 60
    with native.chat(sampler=GREEDY) as alone:
        expected = [alone.send(text, max_output_tokens=8).text for text in ("Hello!", "Who are you?")]
    with (
        opened(model_path, kv_cache_limit=600_000) as client,
        client.chat(sampler=GREEDY) as chat,
        client.chat(sampler=GREEDY) as other,
    ):
        said = [chat.send("Hello!", max_output_tokens=8).text]
        assert other.send("Hello!", max_output_tokens=8).text == expected[0]
        before = chat.history
        for _ in range(3):
            with pytest.raises(EngineError, match="memory"):
                chat.send(story, max_output_tokens=8)
            assert chat.history == before
        said.append(chat.send("Who are you?", max_output_tokens=8).text)
        assert said == expected
        assert other.send("Who are you?", max_output_tokens=8).text == expected[1]


def test_too_many_chats(model_path: Path) -> None:
    """There are as many as fit; the next fail until one of them is closed."""
    with opened(model_path, kv_cache_limit=600_000) as client:
        chats = [client.chat(sampler=GREEDY) for _ in range(20)]
        texts, failures = [], 0
        for number, chat in enumerate(chats):
            try:
                texts.append(chat.send(f"{number} is my number.", max_output_tokens=8).text)
            except EngineError as error:
                assert "memory" in str(error)
                failures += 1
        assert texts
        assert failures
        for chat in chats[:-1]:
            chat.close()
        assert chats[-1].send("19 is my number.", max_output_tokens=8).text
        chats[-1].close()


# The limit is of addresses, so that even a file that is mapped is too large for it.
STARVED = """
import resource, sys
from pathlib import Path
from litertlm import Client, LiteRTLMError

def used():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

def says(weights):
    options = dict(engine="native", vision_backend="off", audio_backend="off", weights=weights)
    with Client(sys.argv[1], threads=2, **options) as client:
        return client.generate("Hello!", sampler={"temperature": 0}, max_output_tokens=8).text

expected = says("mapped")
most = resource.getrlimit(resource.RLIMIT_AS)[1]
ends = []
for weights in ("copied", "mapped"):
    for more in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 4096):
        resource.setrlimit(resource.RLIMIT_AS, (used() + (more << 20), most))
        try:
            ends.append(says(weights) == expected)
        except (LiteRTLMError, MemoryError) as error:
            ends.append(None)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
    assert says(weights) == expected
assert ends.count(None) > 3 and ends.count(True) > 3 and False not in ends, ends
print("lives")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of addresses is Linux's")
def test_a_model_larger_than_memory(model_path: Path) -> None:
    """With every amount of memory from too little to enough, copied and mapped."""
    done = subprocess.run(
        [sys.executable, "-c", STARVED, str(model_path)], capture_output=True, text=True, timeout=100
    )
    assert done.stdout.strip() == "lives", done.stdout + done.stderr
