"""The text that messages become, also while the engine is busy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from litertlm._engine.handle import Handle
from litertlm._engine.lib import check, ffi, lib, native_text, new_error, python_text
from litertlm._engine.litert import wire
from litertlm._engine.litert.shape import Shape
from litertlm._engine.seam import Preface
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from litertlm._engine.litert.engine import LiteRtEngine

__all__ = ["Renderers", "render"]

# So many settings of chats are kept at hand.
MOST = 8


class Renderers:
    """Native conversations in which nothing is ever said, and which therefore render whole histories.

    Making a native conversation waits for the engine, rendering does not. One serves all chats with the same
    tools, template and thinking. Threads: any.
    """

    def __init__(self, engine: LiteRtEngine) -> None:
        self._engine = engine
        self._kept: OrderedDict[Any, Handle] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, preface: Preface) -> Handle:
        """The one for chats that begin so; waits for the engine if there is none yet."""
        tools = native_text(wire.dump(wire.tools_to_wire(preface.tools)), "tools")
        key = tools, preface.thinking, preface.chat_template
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known.holds and not known.closed:
                self._kept.move_to_end(key)
                return known
        made = self._make(preface)
        with self._lock:
            # A chat that was made at the same time may have been faster; then both serve.
            self._kept[key] = made
            # Not closed here: another thread may be rendering with it.
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return made

    def _make(self, preface: Preface) -> Handle:
        engine, error = self._engine, new_error()
        shape = Shape.of(preface, TurnOptions(), engine.options.sampler)
        made = Handle("chat", "ltlm_conversation", engine.discard_conversation, engine.handle, warns=False)
        switches = engine.library.can(lib.LTLM_CAN_THINK)
        with (
            shape.native_options(preface, (), switches=switches) as options,
            engine.queue.idle(),
            engine.handle.using() as pointer,
        ):
            check(lib.ltlm_conversation_create(pointer, options, made.cell, error), error)
        return made


def render(native: Handle, messages: Any) -> str:
    """The text that one message, or a list of them, would add to a native conversation."""
    text = native_text(wire.dump(messages), "message")
    out, error = ffi.new("char **"), new_error()
    with native.using() as conversation:
        check(lib.ltlm_conversation_render(conversation, text, out, error), error)
    try:
        return python_text(out[0])
    finally:
        lib.ltlm_string_free(out[0])
