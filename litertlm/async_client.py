"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from litertlm.chat import OnOverflow, SendOptions
from litertlm.chat.async_chat import AsyncChat, AsyncStream, read
from litertlm.chat.compose import PartLike
from litertlm.chat.off_loop import off_loop
from litertlm.client import Client
from litertlm.client_info import ClientInfo
from litertlm.errors import ClosedError
from litertlm.messages import Message, Reply, Score
from litertlm.observers import Observer
from litertlm.tools import CancelToken

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from litertlm.chat.portable import ChatRecord
    from litertlm.tools import ToolLike

__all__ = ["AsyncClient"]


class AsyncClient:
    """The twin of :class:`~litertlm.Client` for asyncio; the loop is never blocked.

    ::

        async with AsyncClient() as client:
            chat = await client.chat()
            print(await chat.send("Hello!"))

    Args:
        *arguments: As for :class:`~litertlm.Client`; the model is loaded when the block is entered.
        **settings: Likewise.

    Its chats may run at the same time, and take fair turns.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._arguments, self._settings = arguments, settings
        self._opened: Client | None = None

    async def open(self) -> AsyncClient:
        """Load the model, if that has not been done; raises what :class:`~litertlm.Client` raises."""
        if self._opened is None:
            loading = asyncio.ensure_future(
                asyncio.to_thread(lambda: Client(*self._arguments, **self._settings))
            )
            try:
                self._opened = await asyncio.shield(loading)
            except asyncio.CancelledError:
                # A load cannot be stopped; what it gives is closed when it comes.
                loading.add_done_callback(_close_late)
                raise
        return self

    @property
    def info(self) -> ClientInfo:
        """What is really used."""
        return self._client.info

    async def chat(
        self,
        system: str | None = None,
        *,
        tools: Iterable[ToolLike] = (),
        initial_messages: Iterable[Message] = (),
        chat_template: str | None = None,
        on_overflow: OnOverflow = "error",
        when_busy: Literal["raise", "wait"] = "raise",
        prefill: bool = False,
        **options: Unpack[SendOptions],
    ) -> AsyncChat:
        """Start a conversation; as :meth:`litertlm.Client.chat`."""
        client = self._client

        def start() -> AsyncChat:
            chat = client.chat(
                system,
                tools=tools,
                initial_messages=initial_messages,
                chat_template=chat_template,
                on_overflow=on_overflow,
                when_busy=when_busy,
                prefill=prefill,
                **options,
            )
            return AsyncChat(chat)

        return await asyncio.to_thread(start)

    async def load_chat(
        self,
        source: str | os.PathLike[str] | ChatRecord,
        *,
        tools: Iterable[ToolLike] = (),
        on_overflow: OnOverflow = "error",
        when_busy: Literal["raise", "wait"] = "raise",
        **options: Unpack[SendOptions],
    ) -> AsyncChat:
        """Go on with a chat that was saved; as :meth:`litertlm.Client.load_chat`."""
        client = self._client

        def start() -> AsyncChat:
            chat = client.load_chat(
                source, tools=tools, on_overflow=on_overflow, when_busy=when_busy, **options
            )
            return AsyncChat(chat)

        return await asyncio.to_thread(start)

    async def generate(
        self, prompt: str, *, system: str | None = None, **options: Unpack[SendOptions]
    ) -> Reply:
        """Answer one message, in a chat that is closed afterwards."""
        return await read(self.generate_stream(prompt, system=system, **options))

    async def generate_multi(
        self, parts: Iterable[PartLike], *, system: str | None = None, **options: Unpack[SendOptions]
    ) -> Reply:
        """Answer one message of text, images and recordings."""
        return await read(self.generate_stream(parts, system=system, **options))

    def generate_stream(
        self,
        prompt: str | Iterable[PartLike],
        *,
        system: str | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncStream:
        """Answer one message piece by piece; its chat is closed when the stream is over."""
        client = self._client
        return AsyncStream(lambda given: client.generate_stream(prompt, system=system, **given), options)

    async def complete(self, text: str, **options: Unpack[SendOptions]) -> Reply:
        """Continue a text as it stands; as :meth:`litertlm.Client.complete`."""
        client = self._client

        def complete(token: CancelToken) -> Reply:
            own: SendOptions = {**options, "signal": token}
            return client.complete(text, **own)

        return await off_loop(complete, options.get("signal"))

    async def score(
        self, text: str, *, after: str, timeout: float | None = None, signal: CancelToken | None = None
    ) -> Score:
        """How likely the model finds ``text`` after another one; as :meth:`litertlm.Client.score`."""
        client = self._client
        return await off_loop(
            lambda token: client.score(text, after=after, timeout=timeout, signal=token), signal
        )

    async def tokenize(self, text: str) -> list[int]:
        """The token ids of ``text``."""
        return await asyncio.to_thread(self._client.tokenize, text)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return await asyncio.to_thread(self._client.detokenize, tokens)

    async def count_tokens(self, text: str) -> int:
        """How many tokens ``text`` has by itself."""
        return await asyncio.to_thread(self._client.count_tokens, text)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch all turns, in their threads; as :meth:`litertlm.Client.observe`.

        Raises:
            ClosedError: The client is not open.
        """
        return self._client.observe(observer)

    async def aclose(self) -> None:
        """Stop what runs, close the chats, free the model. Idempotent."""
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    async def __aenter__(self) -> AsyncClient:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Async{repr(self._opened)[1:]}" if self._opened else "<AsyncClient: not open>"

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise ClosedError("The client is not open", hint="Use `async with AsyncClient(...) as client:`.")
        return self._opened


def _close_late(loading: asyncio.Future[Client]) -> None:
    if not loading.cancelled() and loading.exception() is None:
        loading.result().close()
