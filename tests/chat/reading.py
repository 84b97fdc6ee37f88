"""Reading a turn in every way in which a reader can."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from litertlm import CancelToken, Chat, ChatBusy, DeadlineExceeded, Stream
from litertlm.events import Event, TurnFailed

from .acts import How, ListenerFailed
from .shadow import Told

__all__ = ["Running", "listening", "read"]


def in_a_thread(call: Callable[[], object]) -> None:
    """Do it there, and wait."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def listening(chat: Chat, how: How, told: Told) -> dict[str, Any]:
    """The options that listen to a turn, and disturb it."""
    token = CancelToken()

    def listen(event: Event) -> None:
        told.events.append(event)
        if len(told) != how.event + 1:
            return
        match how.interruption:
            case "raise":
                raise ListenerFailed
            case "ctrl-c" if how.reading == "drop" and isinstance(event, TurnFailed):
                pass  # the garbage collector would print it, as there is nobody to raise it to
            case "ctrl-c":
                raise KeyboardInterrupt
            case "cancel":
                in_a_thread(chat.cancel)
            case "signal":
                in_a_thread(token.cancel)

    return {"on_event": listen, "signal": token}


def read(
    chat: Chat,
    how: How,
    begin: Callable[[Mapping[str, Any]], Stream],
    options: Mapping[str, Any],
    *,
    late: Callable[[], None],
    meanwhile: Callable[[], None],
) -> None:
    """Make a turn the way that is wanted; raises what comes of it.

    Args:
        chat: Whose turn it is.
        how: It is read.
        begin: Begins it.
        options: Of it.
        late: Lets the timeout pass, where time is real.
        meanwhile: What somebody else does after some chunks, if anybody does.
    """
    stream = begin(options)
    if how.reading == "send":
        with stream:
            for _ in stream:
                pass
        return
    for _ in range(how.chunks):
        if next(stream, None) is None:
            break
    if how.hurried:
        late()
    match how.reading:
        case "leave":
            stream.close()
            assert stream.finished
        case "drop":
            del stream
            gc.collect(0)
        case "busy":
            if not stream.finished:
                _meet(chat)
            _read_out(stream)
        case "interleave":
            meanwhile()
            _read_out(stream)
        case _:
            _read_out(stream)


def _read_out(stream: Stream) -> None:
    chunks = list(stream)
    assert stream.finished
    assert not chunks or chunks[-1].reply is stream.reply


def _meet(chat: Chat) -> None:
    """Everything that must not meet a running turn is refused, or waits; and changes nothing."""
    before = chat.history
    if chat._gate.waits:
        with suppress(DeadlineExceeded):
            chat.send("Me too!", timeout=0.001)
            raise AssertionError("a second turn was let in")
        assert chat.history == before
        return
    for call in (
        lambda: chat.send("Me too!"),
        lambda: chat.send_stream("Me too!"),
        chat.undo,
        chat.reset,
        chat.fork,
    ):
        try:
            call()
        except ChatBusy:
            continue
        raise AssertionError("a second turn was let in")
    assert chat.history == before


class Running:
    """Something that goes on in another thread for as long as the block lasts."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=call)

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Until it is over, so long at most."""
        self._thread.join(seconds)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
