"""How full a chat is that was saved and loaded."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from litertlm import Client, Tool
from litertlm.testing import FakeEngine


@pytest.fixture(params=["fake", "real"])
def either(request: pytest.FixtureRequest) -> Client:
    """A client of each engine."""
    found: Client = request.getfixturevalue("desk" if request.param == "fake" else "client")
    return found


SHORT = {"sampler": {"temperature": 0}, "max_output_tokens": 60}


def test_it_is_as_full_as_it_was(either: Client) -> None:
    """Its tokens are those that were saved; a message adds what it takes, and what reading all again does."""
    with either.chat("Be brief.", **SHORT) as chat:  # type: ignore[arg-type]
        chat.send("Hello!")
        with either.load_chat(chat.record()) as loaded:
            assert loaded.token_count == chat.token_count > 0
            assert loaded.context == chat.context
            full = loaded.token_count + loaded.count("And now?")
            reply = loaded.send("And now?")
            assert loaded.token_count == full + reply.usage.completion_tokens
            with loaded.fork() as fork, either.load_chat(loaded.record()) as again:
                assert fork.token_count == again.token_count == loaded.token_count


def test_it_goes_back(either: Client) -> None:
    """To what it was when it was loaded, which it knows; to what was before that, which it counts anew."""
    with either.chat(**SHORT) as chat:  # type: ignore[arg-type]
        before = chat.count("Hello!")
        chat.send("Hello!")
        after = chat.token_count
        with either.load_chat(chat.record()) as loaded:
            loaded.send("And now?")
            loaded.undo()
            assert loaded.token_count == after
            loaded.undo()
            assert (loaded.token_count, loaded.history) == (0, ())
            assert loaded.count("Hello!") == before


def test_what_was_saved_elsewhere_means_nothing(fake: FakeEngine, desk: Client) -> None:
    """With another model, or other tools, the next message is counted with all that was said."""
    with desk.chat() as chat:
        chat.send("Hello!")
        record, total = chat.record(), chat.token_count + chat.count("And now?")
    model = replace(record.model, digest="another one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = desk.load_chat(replace(record, model=model))
    with other, desk.load_chat(record, tools=[Tool("look", "Look")]) as more:
        assert other.token_count == more.token_count == 0
        assert other.count("And now?") == total
        assert more.count("And now?") > total
        reply = other.send("And now?")
        assert other.token_count == total + reply.usage.completion_tokens
