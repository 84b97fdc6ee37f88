"""The rows are facts about the official engine, and what litertlm makes of them."""

from __future__ import annotations

import pytest

from litertlm import Client


@pytest.fixture(scope="session")
def client(official_client: Client) -> Client:
    """One client for the whole run, on the official library."""
    return official_client
