"""Ids for tool calls."""

from __future__ import annotations

import re
from collections.abc import Iterable

from litertlm.messages import Message

__all__ = ["first_free_number"]

_CALL_ID = re.compile(r"call_(\d{1,15})")


def first_free_number(messages: Iterable[Message]) -> int:
    """The first number n such that no call among ``messages``, and none after it, has the id ``call_n``."""
    ids = [_CALL_ID.fullmatch(call.id) for message in messages for call in message.tool_calls]
    return 1 + max((int(found[1]) for found in ids if found), default=0)
