"""Text continued as it stands, without a chat."""

from __future__ import annotations

import time

from litertlm._engine.seam import Delta, Engine
from litertlm.chat.settings import Settings
from litertlm.chat.turn import hop_of
from litertlm.errors import DeadlineExceeded, MessageError, OptionError
from litertlm.messages import Reply

__all__ = ["complete"]

HONOURED = frozenset({"max_output_tokens", "timeout", "sampler", "stop"})


def complete(engine: Engine, text: str, settings: Settings) -> Reply:
    """What the model says after ``text``.

    Raises:
        OptionError: An option that means nothing here.
        MessageError: There is no text.
        LiteRTLMError: The engine failed.
    """
    ignored = sorted(settings.decoding.wanted - HONOURED)
    if ignored or settings.output is not None:
        raise OptionError(f"complete() does not take {', '.join(ignored) or 'response_format'}")
    if not isinstance(text, str) or not text:
        raise MessageError("There is no text to complete")
    timeout = settings.decoding.timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    turn = engine.complete(text, settings.decoding)
    try:
        turn.start()
        said: list[Delta] = []
        while turn.end is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded(timeout or 0.0)
            said += turn.take(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if turn.end.error is not None:
            raise turn.end.error
        hop = hop_of(said, turn.end)
        return Reply(
            hop.text, finish_reason=hop.finish_reason, usage=hop.usage, timings=hop.timings, hops=(hop,)
        )
    finally:
        turn.close()
