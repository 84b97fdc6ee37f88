"""The events of a turn as spans."""

from __future__ import annotations

import uuid
from weakref import WeakKeyDictionary

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from litertlm import events
from litertlm.errors import Cancelled, ClosedError, ContextOverflow, DeadlineExceeded
from litertlm.events import Event
from litertlm.messages import Reply, ToolCall
from litertlm.observers import TurnInfo
from litertlm.telemetry.attributes import (
    Attributes,
    error_attributes,
    finish_reason,
    input_content,
    output_content,
    request_attributes,
    to_json,
    usage_attributes,
)

__all__ = ["Spans"]

PROVIDER = "litertlm"

# Their messages hold figures, and nothing of what was said.
_HARMLESS = (Cancelled, ClosedError, ContextOverflow, DeadlineExceeded)


class Spans:
    """Makes the spans of turns.

    Args:
        tracer: Makes each of them.
        content: Whether what was said is written down.

    Threads: any.
    """

    def __init__(self, tracer: Tracer, *, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._conversations: WeakKeyDictionary[object, str] = WeakKeyDictionary()

    def begin(self, turn: TurnInfo) -> TurnSpans:
        """The spans of one turn, under the span that is current now."""
        conversation = self._conversations.setdefault(turn.chat, uuid.uuid4().hex)
        return TurnSpans(self._tracer, turn, conversation, content=self._content)


class TurnSpans:
    """One turn: a span for it, below it one for each generation and for each call of a tool."""

    def __init__(self, tracer: Tracer, turn: TurnInfo, conversation: str, *, content: bool) -> None:
        self._tracer = tracer
        self._model = turn.model
        self._descriptions = {tool.name: tool.description for tool in turn.tools}
        self._conversation = conversation
        self._content = content
        self._above = context.get_current()
        self._turn: Span | None = None
        self._hop: Span | None = None
        self._calls: dict[str, Span] = {}

    def on_event(self, event: Event) -> None:
        """Begin or end the span that it belongs to."""
        match event:
            case events.TurnStarted():
                self._turn = self._begin("invoke_agent")
                self._above = trace.set_span_in_context(self._turn, self._above)
            case events.HopStarted():
                self._begin_hop(event)
            case events.HopEnded():
                self._end_hop(event)
            case events.ToolStarted(call):
                self._begin_call(call)
            case events.ToolEnded(call, _, result):
                self._end_call(call, {"gen_ai.tool.call.result": to_json(result.result)})
            case events.ToolFailed(call, _, words):
                if call.id not in self._calls:
                    self._begin_call(call)  # it was refused
                self._end_call(call, {}, words)
            case events.ToolBatchEnded(error=error) if error is not None:
                self._give_up(error)
            case events.TurnEnded(reply):
                self._end_turn(reply)
            case events.TurnFailed(error):
                self._give_up(error)
                turn, self._turn = self._turn, None
                self._fail(turn, error)

    def on_handler(self, call: ToolCall) -> None:
        """In the handler, the span of its call is the current one."""
        span = self._calls.get(call.id)
        if span is not None:
            # Never detached: the context is the handler's own, and ends with it.
            context.attach(trace.set_span_in_context(span))

    def _begin(self, operation: str, subject: str = "", more: Attributes | None = None) -> Span:
        return self._tracer.start_span(
            f"{operation} {subject}".rstrip(),
            context=self._above,
            kind=SpanKind.INTERNAL,  # the model runs in this process
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": PROVIDER,
                "gen_ai.request.model": self._model,
                "gen_ai.conversation.id": self._conversation,
                **(more or {}),
            },
        )

    def _begin_hop(self, event: events.HopStarted) -> None:
        self._hop = self._begin("chat", self._model, request_attributes(event.options))
        if self._content:
            self._hop.set_attributes(input_content((*event.history, event.message)))

    def _end_hop(self, event: events.HopEnded) -> None:
        span, self._hop = self._hop, None
        if span is None:
            return
        hop = event.hop
        span.set_attributes(
            {
                "gen_ai.response.model": self._model,
                "gen_ai.response.finish_reasons": (finish_reason(hop.finish_reason),),
                "gen_ai.response.time_to_first_chunk": hop.timings.time_to_first_token,
                **usage_attributes(hop.usage),
            }
        )
        if self._content:
            span.set_attributes(output_content(hop))
        span.end()

    def _begin_call(self, call: ToolCall) -> None:
        about = {
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.type": "function",
        }
        if self._descriptions.get(call.name):
            about["gen_ai.tool.description"] = self._descriptions[call.name]
        if self._content:
            about["gen_ai.tool.call.arguments"] = to_json(dict(call.arguments))
        self._calls[call.id] = self._begin("execute_tool", call.name, about)

    def _end_call(self, call: ToolCall, result: Attributes, failure: str | None = None) -> None:
        span = self._calls.pop(call.id, None)
        if span is None:
            return
        if self._content:
            span.set_attributes(result)
        if failure is not None:
            span.set_attribute("error.type", "litertlm.errors.ToolError")
            # What a handler raised may tell what was said.
            span.set_status(Status(StatusCode.ERROR, failure if self._content else None))
        span.end()

    def _end_turn(self, reply: Reply) -> None:
        span, self._turn = self._turn, None
        if span is None:
            return
        span.set_attributes(
            {
                "gen_ai.response.finish_reasons": (finish_reason(reply.finish_reason),),
                **usage_attributes(reply.usage),
            }
        )
        span.end()

    def _give_up(self, error: BaseException) -> None:
        """End what is in flight."""
        hop, self._hop = self._hop, None
        self._fail(hop, error)
        while self._calls:
            self._fail(self._calls.popitem()[1], error)

    def _fail(self, span: Span | None, error: BaseException) -> None:
        if span is not None:
            told = self._content or isinstance(error, _HARMLESS)
            span.set_attributes(error_attributes(error))
            span.set_status(Status(StatusCode.ERROR, str(error) if told else None))
            span.end()
