"""A client has no more chats open than it may have."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from litertlm import AsyncClient, Client, OptionError, TemplateError, TooManyChats
from litertlm.testing import FakeEngine


@pytest.fixture
def desk(fake: FakeEngine) -> Iterator[Client]:
    """A client with two places."""
    with Client(engine=fake, max_chats=2) as opened:
        yield opened


def test_one_more_is_refused_and_the_others_go_on(fake: FakeEngine, desk: Client) -> None:
    """The error says how many are open, and what can be done."""
    with desk.chat() as one, desk.chat() as two:
        with pytest.raises(TooManyChats, match=r"2 chats open.*larger max_chats") as caught:
            desk.chat()
        assert caught.value.limit == 2
        assert fake.conversations_open == 2
        assert one.send("Hi").text
        assert two.send("Hi").text


def test_closing_one_makes_room(desk: Client) -> None:
    """Once, however often it is closed."""
    one, two = desk.chat(), desk.chat()
    one.close()
    one.close()
    with desk.chat(), pytest.raises(TooManyChats):
        desk.chat()
    two.close()


def test_forks_and_loaded_chats_take_places_too(desk: Client, tmp_path: Path) -> None:
    """As do those that are opened for one message."""
    with desk.chat() as chat:
        chat.save(tmp_path / "a.chat")
        with chat.fork():
            for more in (
                chat.fork,
                lambda: desk.load_chat(tmp_path / "a.chat"),
                lambda: desk.generate("Hi"),
                lambda: desk.generate_stream("Hi"),
            ):
                with pytest.raises(TooManyChats):
                    more()
        with desk.load_chat(tmp_path / "a.chat"), pytest.raises(TooManyChats):
            chat.fork()
        assert desk.generate("Hi").text
        assert desk.complete("Once").text
        with desk.generate_stream("Hi") as stream, pytest.raises(TooManyChats):
            desk.chat()
        assert stream.finished
        desk.chat().close()


def test_a_chat_that_is_lost_or_was_never_opened_takes_none(fake: FakeEngine, desk: Client) -> None:
    """Neither does one that is left to the garbage collector."""
    with pytest.raises(OptionError):
        desk.chat(max_output_tokens=0)
    refused = fake.open
    fake.open = _failing  # type: ignore[method-assign, assignment]
    for _ in range(3):
        with pytest.raises(TemplateError) as caught:
            desk.chat()
        assert caught.value  # which holds what was on the stack
    fake.open = refused  # type: ignore[method-assign]
    with desk.chat() as chat:
        lost = chat.fork()
        lost._timeline.close()  # the fake would complain that it was not closed
        del lost
        gc.collect()
        chat.fork().close()


def _failing(preface: object) -> None:
    raise TemplateError("The chat template failed")


def test_no_two_threads_get_the_last_place(desk: Client) -> None:
    """Of many that ask at once, as many as there are places are served."""
    chats, refusals, start = [], [], threading.Barrier(8)

    def ask() -> None:
        start.wait()
        try:
            chats.append(desk.chat())
        except TooManyChats as error:
            refusals.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(chats), len(refusals)) == (2, 6)
    for chat in chats:
        chat.close()


def test_it_holds_for_asyncio(fake: FakeEngine) -> None:
    """With the same setting."""

    async def talk() -> None:
        async with AsyncClient(engine=fake, max_chats=1) as client:
            chat = await client.chat()
            with pytest.raises(TooManyChats, match="1 chat open"):
                await client.chat()
            with pytest.raises(TooManyChats):
                await chat.fork()
            with pytest.raises(TooManyChats):
                await client.generate("Hi")
            assert (await chat.send("Hi")).text
            await chat.aclose()
            assert (await client.generate("Hi")).text

    asyncio.run(talk())


def test_it_holds_for_a_real_model(model_path: Path) -> None:
    """Also when a chat that could not be opened is tried again."""
    with Client(model_path, max_chats=1) as client:
        with client.chat(max_output_tokens=4) as chat:
            with pytest.raises(TooManyChats):
                client.chat()
            assert chat.send("Hi").text
        client.chat().close()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_a_limit_is_a_number(fake: FakeEngine, wrong: object) -> None:
    """At least 1."""
    with pytest.raises(OptionError, match="max_chats"):
        Client(engine=fake, max_chats=wrong)  # type: ignore[arg-type]
