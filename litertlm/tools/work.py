"""One handler at work, in a thread of its own.

The threads are daemons: a handler that never returns keeps neither the turn nor the interpreter waiting.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from litertlm.errors import Cancelled
from litertlm.tools.cancel import CancelToken
from litertlm.tools.results import jsonable

if TYPE_CHECKING:
    import asyncio

__all__ = ["LONGEST_WAIT", "Outcome", "start_handler"]

# Seconds. Waiting is done in pieces, so that Ctrl-C is noticed on every system.
LONGEST_WAIT = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a handler ended.

    Attributes:
        index: Which of the batch's calls it answered.
        finished: When, on the monotonic clock.
        value: What it gave back, as JSON values.
        error: What it raised instead.
    """

    index: int
    finished: float
    value: Any = None
    error: BaseException | None = None


def start_handler(
    handler: Callable[[], Any],
    *,
    index: int,
    name: str,
    token: CancelToken,
    loop: asyncio.AbstractEventLoop | None,
    outcomes: SimpleQueue[Outcome | None],
    convert: Callable[[Any], Any] = jsonable,
    context: contextvars.Context | None = None,
) -> None:
    """Begin a handler; its outcome is put into ``outcomes``.

    It sees the context variables of ``context``, else those of the calling thread. A coroutine is run on
    ``loop``, or on a loop of its own.
    """

    def work() -> None:
        value, error = None, None
        try:
            value = handler()
            if inspect.isawaitable(value):
                value = _finish(value, token, loop)
            value = convert(value)
        except BaseException as raised:  # also SystemExit: whoever waits has to know
            value, error = None, raised
        outcomes.put(Outcome(index, time.monotonic(), value, error))

    context = context or contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=f"litertlm-tool-{name}", daemon=True).start()


def _finish(awaitable: Awaitable[Any], token: CancelToken, loop: asyncio.AbstractEventLoop | None) -> Any:
    """Wait for an awaitable, on ``loop`` (running in another thread) or on a loop of its own.

    Raises:
        Cancelled: It was cancelled, by the token or by itself.
    """
    import asyncio
    import concurrent.futures

    async def main() -> Any:
        task = asyncio.ensure_future(awaitable)
        here = asyncio.get_running_loop()

        def stop() -> None:
            with suppress(RuntimeError):  # the loop has closed in the meantime
                here.call_soon_threadsafe(task.cancel)

        forget = token.add_callback(stop)
        try:
            return await task
        finally:
            forget()

    coroutine = main()
    try:
        if loop is None:
            return asyncio.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    except (asyncio.CancelledError, concurrent.futures.CancelledError):
        raise Cancelled(token.reason or "The handler was cancelled") from None
    finally:
        # What a loop would not take must not be left over.
        for left in (coroutine, awaitable):
            if inspect.iscoroutine(left) and inspect.getcoroutinestate(left) == inspect.CORO_CREATED:
                left.close()
