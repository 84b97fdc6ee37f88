"""The one-shots of the asynchronous client: those of the other, and a loop that goes on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from litertlm import (
    AsyncChat,
    AsyncClient,
    Cancelled,
    CancelToken,
    Chat,
    Client,
    ClosedError,
    DeadlineExceeded,
    Image,
    MessageError,
    OptionError,
)
from litertlm.testing import FakeEngine


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """On a loop of its own, with an end."""
    asyncio.run(asyncio.wait_for(coroutine, 30))


@pytest.mark.parametrize(("one", "twin"), [(Client, AsyncClient), (Chat, AsyncChat)])
def test_every_method_has_a_twin(one: type, twin: type) -> None:
    """Of the same name and with the same parameters; ``aclose`` for ``close``."""
    for name, method in inspect.getmembers(one):
        if name.startswith("_") or name in ("close", "close_when_idle"):
            continue
        assert hasattr(twin, name), name
        if inspect.isfunction(method):
            assert inspect.signature(method).parameters == inspect.signature(getattr(twin, name)).parameters


def test_the_same_answers(fake: FakeEngine, png: bytes) -> None:
    """Each one-shot gives what the other client gives."""
    sync = Client(engine=fake)

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            assert (await client.generate("Hi", system="Be brief.")) == sync.generate(
                "Hi", system="Be brief."
            )
            shown = [Image(png), "What?"]
            assert (await client.generate_multi(shown)).text == sync.generate_multi(shown).text
            for prompt in ("Hi", shown):
                async with client.generate_stream(prompt) as stream:
                    said = "".join([chunk.text async for chunk in stream])
                assert (
                    said
                    == stream.reply.text
                    == sync.generate_multi([prompt] if isinstance(prompt, str) else prompt).text
                )
            fake.enqueue("a time.")
            assert (await client.complete("Once upon", max_output_tokens=8)).text == "a time."
            assert await client.score(" time", after="a") == sync.score(" time", after="a")
            tokens = await client.tokenize("Hello there")
            assert tokens == sync.tokenize("Hello there")
            assert await client.detokenize(tokens) == "Hello there"
            assert await client.count_tokens("Hello there") == len(tokens)
            assert fake.conversations_open == 0

    run(main())


def test_it_has_to_be_open(fake: FakeEngine) -> None:
    """Before that, and afterwards, every one says so."""

    async def main() -> None:
        client = AsyncClient(engine=fake)
        for call in (client.complete("x"), client.score("x", after="y"), client.tokenize("x")):
            with pytest.raises(ClosedError):
                await call
        with pytest.raises(ClosedError):
            client.generate_stream("x")
        async with client:
            for wrong in (client.complete(""), client.score("", after="y")):
                with pytest.raises(MessageError):
                    await wrong
            for odd in (client.complete("x", tool_timeout=1.0), client.score("x", after="y", timeout=0)):
                with pytest.raises(OptionError):
                    await odd
        with pytest.raises(ClosedError):
            await client.complete("x")

    run(main())


@pytest.mark.parametrize("how", ["task", "signal", "timeout"])
def test_a_completion_is_stopped(fake: FakeEngine, how: str) -> None:
    """Held in the engine, the loop going on; then its task, its signal or its time ends it."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            gate = fake.enqueue("never said", hold="prefill")
            signal = CancelToken()
            options: dict[str, Any] = {"timeout": 0.05} if how == "timeout" else {"signal": signal}
            task = asyncio.ensure_future(client.complete("Once", **options))
            await asyncio.to_thread(gate.wait)
            assert await client.count_tokens("The loop goes on.") > 0
            if how == "task":
                task.cancel()
            elif how == "signal":
                signal.cancel()
            ends = {"task": asyncio.CancelledError, "signal": Cancelled, "timeout": DeadlineExceeded}
            with pytest.raises(ends[how]):
                await task
            gate.release()
            assert (await client.complete("Once")).text

    run(main())


def test_a_one_shot_that_is_left_closes_its_chat(fake: FakeEngine) -> None:
    """In the middle of its reply."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            fake.enqueue("one two three")
            async with client.generate_stream("Count.") as stream:
                async for _ in stream:
                    break
            assert fake.conversations_open == 0

    run(main())


Ask = Callable[[AsyncClient], Awaitable[object]]
ASKS: dict[str, Ask] = {
    "generate": lambda client: client.generate("Hello!", max_output_tokens=3),
    "complete": lambda client: client.complete("Hello", max_output_tokens=3),
    "score": lambda client: client.score(" there", after="Hello"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_the_real_engine_is_waited_for_off_the_loop(official_client: Client, ask: Ask) -> None:
    """While somebody else has it, more calls wait than a pool has threads, and the loop goes on."""

    async def main() -> None:
        opened = AsyncClient()
        opened._opened = official_client
        official_client.chat().close()  # the first chat of its kind has the engine render for it
        with official_client._engine.queue.idle():  # type: ignore[attr-defined]
            waiting = [asyncio.ensure_future(ask(opened)) for _ in range(40)]
            assert await opened.tokenize("Hello there")
            for task in waiting[1:]:
                task.cancel()
            ended = await asyncio.gather(*waiting[1:], return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended)
            assert not waiting[0].done()
        assert await waiting[0]

    run(main())


def test_scoring_runs_out_of_time(official_client: Client) -> None:
    """While it waits for the engine; the next one is right again."""
    client = official_client
    usual = client.score(" there", after="Hello")
    with client._engine.queue.idle(), pytest.raises(DeadlineExceeded):  # type: ignore[attr-defined]
        client.score(" there", after="Hello", timeout=0.02)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        client.score(" there", after="Hello", signal=token)
    for seconds in (1e-6, 1e-3, 2e-3, 4e-3):  # some of these end in the middle of the engine's call
        with suppress(DeadlineExceeded):
            assert client.score(" there" * 200, after="Hello" * 200, timeout=seconds).tokens
    assert client.score(" there", after="Hello") == usual
