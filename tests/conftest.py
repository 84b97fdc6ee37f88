"""Fixtures of the real engine and the real bundled model; only ``testing/`` tests the fake one."""

from __future__ import annotations

import io
import os
import signal
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from litertlm import Chat, Client
from litertlm.bundled import bundled_model


def pytest_configure() -> None:
    """Ctrl-C is tested: a shell that runs tests in the background has it ignored, here and in children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and data go to a folder of the test run."""
    before = os.environ.get("LITERTLM_HOME")
    os.environ["LITERTLM_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["LITERTLM_HOME"]
    else:
        os.environ["LITERTLM_HOME"] = before


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The model under test: the bundled one unless $LITERTLM_TEST_MODEL names another."""
    return Path(os.environ.get("LITERTLM_TEST_MODEL") or bundled_model())


@pytest.fixture(scope="session")
def client(model_path: Path) -> Iterator[Client]:
    """One client for the whole run."""
    with Client(model_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def official_client(model_path: Path) -> Iterator[Client]:
    """The same on the official library, also where ours would do."""
    with Client(model_path, engine="litert") as opened:
        yield opened


@pytest.fixture
def chat(client: Client) -> Iterator[Chat]:
    """A fresh greedy chat with short replies."""
    with client.chat(sampler={"temperature": 0}, max_output_tokens=12) as opened:
        yield opened


@pytest.fixture(scope="session")
def png() -> bytes:
    """A red picture."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (96, 96), (220, 30, 30)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def wav() -> bytes:
    """A second of a 440 Hz tone."""
    import numpy as np

    samples = (0.4 * 32767 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(16000)
        recording.writeframes(samples.tobytes())
    return file.getvalue()
