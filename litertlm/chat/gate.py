"""Which turn of a chat runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from litertlm.chat.limits import SLICE_SECONDS
from litertlm.errors import ChatBusy, ClosedError

__all__ = ["Gate", "Guest"]


class Guest(Protocol):
    """A turn, or something short that must not meet one."""

    @property
    def over(self) -> bool:
        """Whether it is kept or undone."""
        ...

    @property
    def undoing(self) -> bool:
        """Whether it is being undone."""
        ...

    def check(self) -> None:
        """Raises if it is no use waiting any longer."""
        ...

    def cancel(self) -> None:
        """Ask it to stop."""
        ...

    def rollback(self, error: BaseException | None = None) -> None:
        """Undo it, for that reason; may be repeated, from any thread."""
        ...


class Gate:
    """Lets one turn at a time into a chat.

    Args:
        waits: What a second one does: wait, or raise ChatBusy.

    Threads: any.
    """

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self._changed = threading.Condition()
        self._guest: Guest | None = None
        self._closed = False

    @property
    def guest(self) -> Guest | None:
        """Who is inside; None when nobody is."""
        guest = self._guest
        return None if guest is None or guest.over else guest

    @property
    def closed(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed

    def enter(self, guest: Guest) -> None:
        """Let ``guest`` in, after the one before it if that is wanted.

        Raises:
            ChatBusy: There is one, and nobody waits here.
            ClosedError: The chat is closed.
        """
        while True:
            with self._changed:
                if self._closed:
                    raise ClosedError("The chat is closed", hint="Open a new one with client.chat().")
                before = self.guest
                if before is None:
                    self._guest = guest
                    return
                if not before.undoing:
                    if not self.waits:
                        raise ChatBusy(
                            "Another turn is still running on this chat",
                            hint="Read its stream to the end or close it, use a chat of its own, or open the "
                            "chat with when_busy='wait'.",
                        )
                    guest.check()
                    self._changed.wait(SLICE_SECONDS)
                    continue
            # Undoing it was interrupted, or goes on in another thread: see it through first.
            before.rollback()

    def leave(self, guest: Guest) -> None:
        """``guest`` is through."""
        with self._changed:
            if self._guest is guest:
                self._guest = None
            self._changed.notify_all()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep turns out for a short while."""
        hold = _Hold()
        try:
            self.enter(hold)
            yield
        finally:
            self.leave(hold)

    def close(self) -> None:
        """Let nobody in any more, and undo who is inside."""
        self._closed = True
        guest = self.guest
        if guest is not None:
            guest.rollback(ClosedError("The chat was closed"))


class _Hold:
    """Stands in for a turn while a chat goes back or is forked; it is over soon."""

    over = False
    undoing = False

    def check(self) -> None:
        """It waits without limit."""

    def cancel(self) -> None:
        """Nothing to stop."""

    def rollback(self, error: BaseException | None = None) -> None:
        """Nothing to undo."""
