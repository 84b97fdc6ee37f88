"""The bundled model on our own engine, and beside it on the official one, which is the reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litertlm import Client


@pytest.fixture(scope="session")
def native(model_path: Path) -> Iterator[Client]:
    """On our own engine, without encoders."""
    with Client(model_path, engine="native", vision_backend="off", audio_backend="off") as opened:
        yield opened


@pytest.fixture(scope="session")
def official(model_path: Path) -> Iterator[Client]:
    """On the official library."""
    with Client(model_path, engine="litert", vision_backend="off", audio_backend="off") as opened:
        yield opened
