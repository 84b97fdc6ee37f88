"""Work that waits for the engine, off the loop of asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

from litertlm.tools import CancelToken

__all__ = ["off_loop"]

T = TypeVar("T")


async def off_loop(call: Callable[[CancelToken], T], signal: CancelToken | None = None) -> T:
    """What ``call`` gives, made in a thread of its own.

    Not in the loop's pool: it is small, and what waits there for the engine would keep everything else
    waiting. A task that is cancelled stops the call and sees it through, which takes milliseconds.

    Args:
        call: Gets the token that stops it; sees the context variables of the task.
        signal: Stops it as well.
    """
    token = CancelToken(signal)
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call(token))
        except BaseException as error:
            result.set_exception(error)
        finally:
            token.detach()

    run = partial(contextvars.copy_context().run, work)
    threading.Thread(target=run, name="litertlm call", daemon=True).start()
    done = asyncio.wrap_future(result)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        token.cancel()
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({done})
        done.exception()  # nobody else asks for it
        raise
