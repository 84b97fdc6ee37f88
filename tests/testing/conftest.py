"""A fake engine, and a client and a chat of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from litertlm import Chat, Client
from litertlm.testing import FakeEngine


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    """Everything enqueued must be used, every chat closed."""
    with FakeEngine(patience=10) as engine:
        yield engine


@pytest.fixture
def client(fake: FakeEngine) -> Iterator[Client]:
    """A client of the fake."""
    with Client(engine=fake) as opened:
        yield opened


@pytest.fixture
def chat(client: Client) -> Iterator[Chat]:
    """A chat on the fake."""
    with client.chat() as opened:
        yield opened
