"""How many chats of a client may be open at once."""

from __future__ import annotations

import threading
import weakref
from types import TracebackType

from litertlm.errors import TooManyChats

__all__ = ["Place", "Places"]


class Place:
    """What a chat holds while it is open; free again when it is dropped.

    In a ``with`` block in which a chat is made, it is freed if that fails.
    """

    def __init__(self, places: Places) -> None:
        self._places = places

    def another(self) -> Place:
        """One more of the same client, for a fork.

        Raises:
            TooManyChats: There is none.
        """
        return self._places.take()

    def free(self) -> None:
        """The chat is closed. Idempotent."""
        self._places.give_back(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.free()


class Places:
    """The places of one client.

    Args:
        most: How many there are; None: no limit.

    Threads: any.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        # Weakly: a chat that is collected without being closed leaves its place, too.
        self._taken: weakref.WeakSet[Place] = weakref.WeakSet()
        # Reentrant: a destructor may close a chat at any moment.
        self._lock = threading.RLock()

    def take(self) -> Place:
        """A place for one chat.

        Raises:
            TooManyChats: All are taken.
        """
        with self._lock:
            if self._most is not None and len(self._taken) >= self._most:
                raise TooManyChats(self._most)
            place = Place(self)
            self._taken.add(place)
            return place

    def give_back(self, place: Place) -> None:
        """It may be taken again."""
        with self._lock:
            self._taken.discard(place)
