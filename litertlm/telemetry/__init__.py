"""Traces of turns, by OpenTelemetry's semantic conventions for generative AI; ``litertlm[otel]``.

Every turn is a span ``invoke_agent``, with a child ``chat`` for each generation and a child ``execute_tool``
for each tool call::

    from litertlm.telemetry import instrument

    instrument(client)

Attribute names are those of the conventions at version 1.41, which are still called experimental there:
https://github.com/open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from opentelemetry import trace

import litertlm
from litertlm.observers import Observer
from litertlm.telemetry.spans import Spans

__all__ = ["Observable", "instrument"]


class Observable(Protocol):
    """A :class:`~litertlm.Client`, a :class:`~litertlm.Chat`, or an asynchronous twin of one."""

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch turns; what is returned ends that."""
        ...


def instrument(
    target: Observable, tracer_provider: trace.TracerProvider | None = None, *, content: bool = False
) -> Callable[[], None]:
    """Write a trace of every turn from the next one on.

    Args:
        target: A client: all its chats, also those that are open. A chat: that chat and its forks. An
            :class:`~litertlm.AsyncClient` must be open.
        tracer_provider: Where spans go; None: the global one.
        content: Whether messages, instructions, and arguments and results of tools are written down. They are
            what users said, so they are left out unless this is True. Bytes of media always are.

    Returns:
        Ends it. May be called again. Turns that have begun are traced to their end.

    Spans are children of the span that is current where the turn is begun; in handlers of tools, the span of
    their call is current. Tracing that fails is logged to the logger ``litertlm``, and does the turn no harm.
    """
    tracer = trace.get_tracer("litertlm", litertlm.__version__, tracer_provider)
    return target.observe(Spans(tracer, content=content))
