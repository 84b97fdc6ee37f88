"""Who watches turns: tracing, metrics, dashboards. They see everything and change nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from litertlm.events import Event
from litertlm.messages import ToolCall

if TYPE_CHECKING:
    from litertlm.tools import Tool

__all__ = ["Observer", "Observers", "TurnInfo", "TurnObserver", "Watch"]


@dataclass(frozen=True, slots=True)
class TurnInfo:
    """What is known of a turn before its first event.

    Attributes:
        chat: The :class:`~litertlm.Chat`; also when the turn was begun through its asynchronous twin.
        model: The model's name.
        engine: The engine that runs it.
        tools: The tools of the chat.
    """

    chat: Any
    model: str
    engine: str
    tools: tuple[Tool, ...]


class TurnObserver(Protocol):
    """Watches one turn. Called by one thread at a time; the last event may come from another one."""

    def on_event(self, event: Event) -> None:
        """Something has happened. :class:`~litertlm.events.TurnEnded` or ``TurnFailed`` is the last."""
        ...

    def on_handler(self, call: ToolCall) -> None:
        """The handler of ``call`` starts; called after its ``ToolStarted``.

        Runs in the :class:`contextvars.Context` that the handler will see, so what is set here is set there.
        """
        ...


class Observer(Protocol):
    """Watches the turns of a chat, or of all chats of a client; see :meth:`litertlm.Client.observe`."""

    def begin(self, turn: TurnInfo) -> TurnObserver:
        """A turn is asked for; called in the context of who asks. It need not come to its first event."""
        ...


class Observers:
    """The observers of a chat or a client.

    Args:
        above: Those of the client, which watch its chats too.
        own: Some to begin with.

    Threads: any.
    """

    def __init__(self, above: Observers | None = None, own: Iterable[Observer] = ()) -> None:
        self._above = above
        self._own = tuple(own)
        self._changing = threading.Lock()

    def add(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch turns from now on; what is returned ends that, and may be repeated."""
        self._without(observer, then=(observer,))
        return lambda: self._without(observer)

    def all(self) -> tuple[Observer, ...]:
        """Those of the client first."""
        return (self._above.all() if self._above is not None else ()) + self._own

    def forked(self) -> Observers:
        """Those of a fork of the chat."""
        return Observers(self._above, self._own)

    def _without(self, observer: Observer, then: tuple[Observer, ...] = ()) -> None:
        with self._changing:
            self._own = (*(one for one in self._own if one is not observer), *then)

    def watch(self, turn: Callable[[], TurnInfo]) -> Watch:
        """Begin watching a turn; ``turn`` is asked for what is known of it only if somebody watches."""
        observers = self.all()
        if not observers:
            return Watch()
        info = turn()
        begun = (_safely(observer.begin, info) for observer in observers)
        return Watch(tuple(one for one in begun if one is not None))


class Watch:
    """Those who watch one turn. What they raise is logged, and does the turn no harm."""

    def __init__(self, observers: tuple[TurnObserver, ...] = ()) -> None:
        self._observers = observers

    def on_event(self, event: Event) -> None:
        """Tell them what has happened."""
        for observer in self._observers:
            _safely(observer.on_event, event)

    def on_handler(self, call: ToolCall) -> None:
        """Tell them, in the context of a handler, that it starts."""
        for observer in self._observers:
            _safely(observer.on_handler, call)


def _safely(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception:
        logging.getLogger("litertlm").exception("An observer raised")
        return None
