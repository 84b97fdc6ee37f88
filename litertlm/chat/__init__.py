"""A conversation with a model: turns, streams, history."""

from litertlm.chat.chat import Chat
from litertlm.chat.context import Context
from litertlm.chat.overflow import OnOverflow, Overflow
from litertlm.chat.settings import SendOptions
from litertlm.chat.stream import Stream

__all__ = [
    "Chat",
    "Context",
    "OnOverflow",
    "Overflow",
    "SendOptions",
    "Stream",
]
