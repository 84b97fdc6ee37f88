"""Reading a turn from a loop of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from litertlm import AsyncChat, Chat

from .acts import How

__all__ = ["for_asyncio", "read_async"]


def for_asyncio(how: How) -> How:
    """The same turn, without what means nothing there.

    Listeners are called on the loop, where what they raise is the loop's affair; Ctrl-C is too.
    """
    interruption = how.interruption if how.interruption in ("cancel", "signal") else "none"
    script = tuple(reply for reply in how.script if not isinstance(reply.error, KeyboardInterrupt))
    return replace(how, interruption=interruption, script=script)


def read_async(chat: Chat, how: How, text: str, options: Mapping[str, Any]) -> None:
    """Send a text; raises what comes of it.

    A reply to be left is left by the end of a block; of one to be dropped, the task is cancelled.
    """

    async def main() -> None:
        async with AsyncChat(chat).send_stream(text, **options) as stream:
            read = 0
            async for chunk in stream:
                read += 1
                if read <= how.chunks or chunk.final:
                    continue
                if how.reading == "leave":
                    break
                if how.reading == "drop":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
            else:
                assert how.reading == "drop" or stream.reply is not None

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        assert how.reading == "drop"
    finally:
        chat.handlers_loop = None  # that of this turn is closed
