"""Tools for tests of chats."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from litertlm import Message, Tool, tool

__all__ = ["Diary", "parts_of", "raw", "weather"]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@tool
def weather(city: str) -> str:
    """The weather.

    Args:
        city: Where.
    """
    return f"sunny in {city}"


def raw(name: str = "look_up") -> Tool:
    """A tool that the application runs."""
    return Tool(name, "Look something up.", CITY)


@dataclass
class Diary:
    """A tool that remembers with what it was called."""

    called: list[str] = field(default_factory=list)
    fails: BaseException | None = None
    lock: Any = field(default_factory=threading.Lock)

    def tool(self, name: str = "note", **settings: Any) -> Tool:
        """The tool itself."""

        def note(city: str = "") -> str:
            with self.lock:
                self.called.append(city)
            if self.fails is not None:
                raise self.fails
            return f"noted {city}"

        return Tool(name, "Note it.", CITY, note, **settings)


def parts_of(message: Message) -> list[str]:
    """The kinds of its parts."""
    return [type(part).__name__ for part in message.parts]
