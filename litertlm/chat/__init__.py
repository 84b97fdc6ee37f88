"""A conversation with a model: turns, streams, history."""

from litertlm.chat.chat import Chat, Context
from litertlm.chat.stream import Stream

__all__ = ["Chat", "Context", "Stream"]
