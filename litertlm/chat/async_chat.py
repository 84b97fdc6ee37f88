"""Chats for asyncio: the same conversation, and a loop that is never blocked.

A turn runs in a thread of its own, which lives as long as the turn; its events come to the loop one by one.
So everything that is true of :class:`~litertlm.Chat` is true here, and nothing is written twice.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from litertlm import events
from litertlm.chat.chat import Chat
from litertlm.chat.compose import PartLike
from litertlm.chat.context import Context
from litertlm.chat.settings import SendOptions
from litertlm.chat.stream import Stream, chunk_of
from litertlm.errors import ClosedError
from litertlm.events import Event
from litertlm.messages import Chunk, Message, Reply, ToolCall, ToolResult, Usage
from litertlm.observers import Observer
from litertlm.tools import CancelToken

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from litertlm.chat.portable import ChatRecord

__all__ = ["AsyncChat", "AsyncStream", "read"]


class AsyncStream:
    """The chunks of one turn, as they come; the twin of :class:`~litertlm.Stream`.

    ``async for`` over it; leaving it early (``break`` inside ``async with``, an exception, ``aclose()``, a
    cancelled task, ``asyncio.timeout``) cancels the turn, and the chat is as it was before it.
    """

    def __init__(self, begin: Callable[[SendOptions], Stream], options: SendOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._token = CancelToken(options.get("signal"))
        self._items: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._over = asyncio.Event()
        self._reply: Reply | None = None
        self._ended = False
        options = self._own(options)
        # The thread does not refer to this object, so that a stream that nobody reads is collected, and left.
        work = self._work = _Work(self._loop, self._items, self._over, lambda: begin(options), self._token)
        # Handlers of tools and observers see the context variables of who asks, as in a Chat.
        run = partial(contextvars.copy_context().run, work.run)
        threading.Thread(target=run, name="litertlm turn", daemon=True).start()

    @property
    def reply(self) -> Reply:
        """The whole reply.

        Raises:
            ClosedError: The stream has not been read to its end.
        """
        if self._reply is None:
            raise ClosedError("The stream has no reply yet", hint="Read it to its end first.")
        return self._reply

    async def events(self) -> AsyncIterator[Event]:
        """Everything that happens in the turn, instead of chunks; see :mod:`litertlm.events`."""
        while (event := await self._next_event()) is not None:
            yield event

    def cancel(self) -> None:
        """Stop the turn: the reader gets :class:`~litertlm.errors.Cancelled`. Any thread, any time."""
        self._token.cancel()

    async def aclose(self) -> None:
        """Leave the stream: cancel the turn unless it is over, and wait until it is undone. Idempotent."""
        self._ended = True
        self._token.cancel()
        await self._over.wait()

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        while (event := await self._next_event()) is not None:
            chunk = chunk_of(event)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    async def _next_event(self) -> Event | None:
        if self._ended or (self._over.is_set() and self._items.empty()):
            return None
        self._work.ask()
        try:
            item = await self._items.get()
        except asyncio.CancelledError:
            await self._leave()
            raise
        self._ended = item is None or isinstance(item, BaseException)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, events.TurnEnded):
            self._reply = item.reply
        return item

    async def _leave(self) -> None:
        """Stop, and see it through although this task is being cancelled; it takes milliseconds."""
        self._ended = True
        self._token.cancel()
        waiting = asyncio.ensure_future(self._over.wait())
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)

    def _own(self, options: SendOptions) -> SendOptions:
        """The same options, with this stream's signal, and listeners called on the loop."""
        own: SendOptions = {**options, "signal": self._token}
        listener = options.get("on_event")
        if listener is not None:
            loop, called = self._loop, listener
            own["on_event"] = lambda event: _post(loop, called, event)
        return own

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    def __del__(self) -> None:
        token = getattr(self, "_token", None)
        if token is not None:
            token.cancel()


class _Work:
    """What the thread of a turn does: one event for each that is asked for.

    It is never ahead of its reader, so a reader who leaves has left the turn where it was; then it goes on to
    the turn's end, which is near.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        items: asyncio.Queue[Event | BaseException | None],
        over: asyncio.Event,
        begin: Callable[[], Stream],
        token: CancelToken,
    ) -> None:
        self._loop, self._items, self._over, self._begin = loop, items, over, begin
        self._token = token
        self._asked = threading.Semaphore(0)
        token.add_callback(self.ask)

    def ask(self) -> None:
        """The next event is wanted, or none any more. Any thread."""
        self._asked.release()

    def run(self) -> None:
        """Read the turn to its end, and hand over what happens."""
        try:
            with self._begin() as stream:
                happened = stream.events()
                while True:
                    if not self._token.cancelled:
                        self._asked.acquire()
                    event = next(happened, None)
                    _post(self._loop, self._items.put_nowait, event)
                    if event is None:
                        break
        except BaseException as error:
            _post(self._loop, self._items.put_nowait, error)
        finally:
            _post(self._loop, self._over.set)


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed, so nobody listens
        loop.call_soon_threadsafe(call, *arguments)


class AsyncChat:
    """The twin of :class:`~litertlm.Chat` for asyncio, made by :meth:`litertlm.AsyncClient.chat`.

    Methods that wait are coroutines, streams are asynchronous iterators; everything else, arguments and
    errors included, is as there. Cancelling a task that waits for a turn undoes the turn, unless it was just
    over. Tools whose handlers are ``async def`` run on the loop that the turn was begun on.

    Use it from one loop at a time; :meth:`cancel` from any thread.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @property
    def history(self) -> tuple[Message, ...]:
        """What has been said."""
        return self._chat.history

    @property
    def usage(self) -> Usage:
        """Tokens of all turns so far."""
        return self._chat.usage

    @property
    def token_count(self) -> int:
        """Tokens in the KV cache."""
        return self._chat.token_count

    @property
    def context(self) -> Context:
        """How full the chat is."""
        return self._chat.context

    @property
    def pending_tool_calls(self) -> tuple[ToolCall, ...]:
        """Calls of the last reply that wait for results."""
        return self._chat.pending_tool_calls

    @property
    def closed(self) -> bool:
        """Whether the chat is closed."""
        return self._chat.closed

    async def send(self, message: str, **options: Unpack[SendOptions]) -> Reply:
        """Say something and wait for the whole reply."""
        return await read(self.send_stream(message, **options))

    def send_stream(self, message: str, **options: Unpack[SendOptions]) -> AsyncStream:
        """Say something and get the reply piece by piece. The turn begins at once."""
        return self._begin(lambda given: self._chat.send_stream(message, **given), options)

    async def send_multi(self, parts: Iterable[PartLike], **options: Unpack[SendOptions]) -> Reply:
        """Send text, images and recordings in one message."""
        return await read(self.send_multi_stream(parts, **options))

    def send_multi_stream(self, parts: Iterable[PartLike], **options: Unpack[SendOptions]) -> AsyncStream:
        """As :meth:`send_multi`, piece by piece."""
        return self._begin(lambda given: self._chat.send_multi_stream(parts, **given), options)

    async def send_tool_result(
        self, results: ToolResult | Iterable[ToolResult], **options: Unpack[SendOptions]
    ) -> Reply:
        """Give the model what the calls of its last reply returned."""
        return await read(self.send_tool_result_stream(results, **options))

    def send_tool_result_stream(
        self, results: ToolResult | Iterable[ToolResult], **options: Unpack[SendOptions]
    ) -> AsyncStream:
        """As :meth:`send_tool_result`, piece by piece."""
        return self._begin(lambda given: self._chat.send_tool_result_stream(results, **given), options)

    async def run_tools(self, **options: Unpack[SendOptions]) -> Reply:
        """Make the calls that an approval put off."""
        return await read(self.run_tools_stream(**options))

    def run_tools_stream(self, **options: Unpack[SendOptions]) -> AsyncStream:
        """As :meth:`run_tools`, piece by piece."""
        return self._begin(lambda given: self._chat.run_tools_stream(**given), options)

    async def regenerate(self, **options: Unpack[SendOptions]) -> Reply:
        """Have the latest message answered anew."""
        return await read(self.regenerate_stream(**options))

    def regenerate_stream(self, **options: Unpack[SendOptions]) -> AsyncStream:
        """As :meth:`regenerate`, piece by piece."""
        return self._begin(lambda given: self._chat.regenerate_stream(**given), options)

    async def edit(self, index: int, text: str, **options: Unpack[SendOptions]) -> Reply:
        """Change what the user said, and have it answered."""
        return await read(self.edit_stream(index, text, **options))

    def edit_stream(self, index: int, text: str, **options: Unpack[SendOptions]) -> AsyncStream:
        """As :meth:`edit`, piece by piece."""
        return self._begin(lambda given: self._chat.edit_stream(index, text, **given), options)

    def cancel(self) -> None:
        """Stop the turn in progress. Any thread."""
        self._chat.cancel()

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch the turns, in their threads; as :meth:`litertlm.Chat.observe`."""
        return self._chat.observe(observer)

    async def count(self, message: str | Iterable[PartLike]) -> int:
        """Tokens that sending ``message`` now would add to the context."""
        return await asyncio.to_thread(self._chat.count, message)

    async def render(self, message: str | Iterable[PartLike]) -> str:
        """What sending ``message`` now would prefill."""
        return await asyncio.to_thread(self._chat.render, message)

    async def undo(self, turns: int = 1) -> tuple[Message, ...]:
        """Take the latest turns back."""
        return await asyncio.to_thread(self._chat.undo, turns)

    async def reset(self) -> None:
        """Start again with the same settings."""
        await asyncio.to_thread(self._chat.reset)

    async def fork(self) -> AsyncChat:
        """An independent chat that goes on from here."""
        return AsyncChat(await asyncio.to_thread(self._chat.fork))

    async def save(self, path: str | os.PathLike[str], *, kv_cache: bool = False) -> None:
        """Write the chat to a file, and its KV cache to another."""
        await asyncio.to_thread(self._chat.save, path, kv_cache=kv_cache)

    async def record(self) -> ChatRecord:
        """The chat as a value."""
        return await asyncio.to_thread(self._chat.record)

    async def aclose(self) -> None:
        """Stop the turn in progress and free the KV cache. Idempotent."""
        await asyncio.to_thread(self._chat.close)

    async def __aenter__(self) -> AsyncChat:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _repr_markdown_(self) -> str:
        return self._chat._repr_markdown_()

    def __repr__(self) -> str:
        return f"<Async{repr(self._chat)[1:]}"

    def _begin(self, begin: Callable[[Any], Stream], options: SendOptions) -> AsyncStream:
        self._chat.handlers_loop = asyncio.get_running_loop()
        return AsyncStream(begin, options)


async def read(stream: AsyncStream) -> Reply:
    """The whole reply."""
    async with stream:
        async for _ in stream.events():
            pass
        return stream.reply
