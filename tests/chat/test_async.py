"""The same chat for asyncio: nothing blocks the loop, and a task that is cancelled leaves no trace."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from litertlm import (
    AsyncClient,
    Cancelled,
    ChatBusy,
    ClosedError,
    DeadlineExceeded,
    EngineError,
    Tool,
    events,
    tool,
)
from litertlm.testing import FakeEngine

from .tools import CITY, raw


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """On a loop of its own, with an end."""
    asyncio.run(asyncio.wait_for(coroutine, 30))


def test_the_basics(fake: FakeEngine) -> None:
    """Send, stream, history, undo, fork, count: as without asyncio."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client, await client.chat("Be brief.") as chat:
            expected = await chat.count("Hello!")
            reply = await chat.send("Hello!")
            assert reply.usage.prompt_tokens == expected
            fake.enqueue("one two")
            async with chat.send_stream("Count.") as stream:
                texts = [chunk.text async for chunk in stream]
                assert texts == ["one", " two", ""]
                assert stream.reply.text == "one two"
            assert [chunk async for chunk in stream] == []
            fork = await chat.fork()
            assert len(await chat.undo()) == 2
            assert (len(chat.history), len(fork.history)) == (3, 5)
            fake.enqueue("other")
            assert (await fork.regenerate()).text == "other"
            assert (await fork.edit(-2, "Count!")).text == fork.history[-1].text
            await fork.aclose()
            await chat.reset()
            assert (chat.token_count, chat.closed, fork.closed) == (0, False, True)

    run(main())


def test_tools_run_on_the_loop(fake: FakeEngine) -> None:
    """Async handlers see the application's own loop; approvals may be async as well."""

    async def main() -> None:
        here = asyncio.get_running_loop()
        seen = []

        @tool
        async def look(city: str) -> str:
            """Look."""
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop() is here)
            return city

        async def approve(call: Any, tool: Tool) -> bool:
            seen.append(asyncio.get_running_loop() is here)
            return True

        async with AsyncClient(engine=fake) as client, await client.chat(tools=[look]) as chat:
            fake.enqueue_tool_calls([("look", {"city": "Rome"})])
            reply = await chat.send("Look.", approve=approve)
            assert (len(reply.hops), seen) == (2, [True, True])

    run(main())


def test_cancelling_a_task_undoes_its_turn(fake: FakeEngine) -> None:
    """While the model reads, while it speaks, and while a tool runs."""

    async def main() -> None:
        waiting, stopped = asyncio.Event(), asyncio.Event()

        async def wait(city: str) -> None:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        async with AsyncClient(engine=fake) as client:
            chat = await client.chat(tools=[Tool("wait", "", CITY, wait)])
            await chat.send("Hello!")
            before = chat.history, chat.usage, chat.token_count
            for hold in ("prefill", "decode", 2, "end"):
                gate = fake.enqueue("one two three", hold=hold)  # type: ignore[arg-type]
                task = asyncio.create_task(chat.send("Count."))
                await asyncio.to_thread(gate.wait)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (chat.history, chat.usage, chat.token_count) == before
            fake.enqueue_tool_calls([("wait", {"city": "Rome"})])
            task = asyncio.create_task(chat.send("Wait."))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await stopped.wait()
            assert (chat.history, chat.usage, chat.token_count) == before
            await chat.send("Thanks.")

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
def test_a_timeout_of_asyncio(fake: FakeEngine) -> None:
    """It is a TimeoutError of asyncio's, and the chat is as it was; ours is ours."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            chat = await client.chat()
            with fake.hold("prefill"):
                fake.enqueue("never")
                with pytest.raises(TimeoutError) as caught:
                    async with asyncio.timeout(0.05):
                        await chat.send("Hello!")
                assert not isinstance(caught.value, DeadlineExceeded)
                fake.enqueue("never")
                with pytest.raises(DeadlineExceeded):
                    await chat.send("Hello!", timeout=0.05)
            assert chat.history == ()
            await chat.send("Hello!")

    run(main())


def test_leaving_a_stream_undoes_the_turn_however_fast_the_model_was(fake: FakeEngine) -> None:
    """Nothing is generated ahead of the reader that could not be taken back."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            chat = await client.chat()
            told: list[events.Event] = []
            fake.enqueue("one two three")
            async with chat.send_stream("Count.", on_event=told.append) as stream:
                async for _ in stream:
                    await asyncio.to_thread(lambda: None)
                    break
            assert chat.history == ()
            assert [chunk async for chunk in stream if chunk.final] == []
            await asyncio.sleep(0)
            assert [type(event).__name__ for event in told][-1] == "TurnFailed"
            with pytest.raises(ZeroDivisionError):
                async with chat.send_stream("Count."):
                    raise ZeroDivisionError
            stream = chat.send_stream("Count.")
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(ClosedError):
                assert stream.reply
            assert chat.history == ()
            await chat.send("Hello!")

    run(main())


def test_a_stream_nobody_reads_is_undone(fake: FakeEngine) -> None:
    """When it is collected; the loop goes on."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            chat = await client.chat(when_busy="wait")
            chat.send_stream("Hello!")
            gc.collect()
            await chat.send("Hello!", timeout=10)
            assert len(chat.history) == 2

    run(main())


def test_cancel_from_another_thread(fake: FakeEngine) -> None:
    """The reader gets Cancelled, not CancelledError: its task goes on."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            chat = await client.chat()
            gate = fake.enqueue("one two three", hold=1)
            task = asyncio.create_task(chat.send("Count."))
            await asyncio.to_thread(gate.wait)
            threading.Thread(target=chat.cancel).start()
            with pytest.raises(Cancelled):
                await task
            assert chat.history == ()

    run(main())


def test_errors_come_where_they_are_awaited(fake: FakeEngine) -> None:
    """Refused messages, engine failures, busy and closed chats."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:
            chat = await client.chat()
            with pytest.raises(ValueError, match="empty"):
                await chat.send(" ")
            fake.enqueue_error(EngineError("broken"), "one", at=1)
            heard = []
            with pytest.raises(EngineError):
                async for chunk in chat.send_stream("Hello!"):
                    heard.append(chunk.text)
            assert heard == ["one"]
            gate = fake.enqueue("one", hold="prefill")
            task = asyncio.create_task(chat.send("Hello!"))
            await asyncio.to_thread(gate.wait)
            with pytest.raises(ChatBusy):
                await chat.send("Hello!")
            gate.release()
            assert (await task).text == "one"
            await chat.aclose()
            with pytest.raises(ClosedError):
                await chat.send("Hello!")

    run(main())


def test_many_chats_at_once(fake: FakeEngine) -> None:
    """Each is what it would be alone."""

    async def main() -> None:
        async with AsyncClient(engine=fake) as client:

            async def talk(name: str) -> str:
                async with await client.chat() as chat:
                    await chat.send(name)
                    return (await chat.send("Who am I?")).text

            together = await asyncio.gather(*(talk(str(number)) for number in range(8)))
            assert together == [await talk(str(number)) for number in range(8)]

    run(main())


def test_every_stream_has_a_twin(fake: FakeEngine) -> None:
    """Results by hand, put-off calls, another answer, another message: piece by piece as well."""
    from litertlm import ToolResult

    async def main() -> None:
        async with AsyncClient(engine=fake) as client, await client.chat(tools=[raw()]) as chat:
            fake.enqueue_tool_calls([("look_up", {"city": "Rome"})])
            (call,) = (await chat.send("Rome?")).tool_calls
            for begin in (
                lambda: chat.send_tool_result_stream(ToolResult(call.id, call.name, "south")),
                chat.regenerate_stream,
                lambda: chat.edit_stream(0, "Oslo?"),
                lambda: chat.send_multi_stream(["And ", "now?"]),
            ):
                async with begin() as stream:
                    chunks = [chunk async for chunk in stream]
                assert chunks[-1].reply == stream.reply
            with pytest.raises(ValueError, match="No tool call waits"):
                async for _ in chat.run_tools_stream():
                    pass

    run(main())
