"""Chats on an engine that says what a test tells it to; ``client`` is the real one, of the folder above."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from litertlm import Client
from litertlm.testing import FakeEngine


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    """Everything enqueued must be used, every chat closed."""
    with FakeEngine(patience=10) as engine:
        yield engine


@pytest.fixture
def desk(fake: FakeEngine) -> Iterator[Client]:
    """A client of the fake."""
    with Client(engine=fake) as opened:
        yield opened
