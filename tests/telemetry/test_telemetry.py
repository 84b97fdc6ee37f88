"""Turns as spans."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from litertlm import (
    AsyncClient,
    Cancelled,
    Chat,
    Client,
    ClosedError,
    Deny,
    EngineError,
    Image,
    Tool,
    ToolContext,
    ToolError,
    tool,
)
from litertlm.observers import TurnInfo
from litertlm.telemetry import instrument
from litertlm.testing import FakeEngine

WORD = {"type": "object", "properties": {"word": {"type": "string"}}}


class Collected:
    """Spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __call__(self, operation: str | None = None) -> list[ReadableSpan]:
        """Those of an operation, or all, in the order in which they began."""
        spans = sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        return [span for span in spans if operation in (None, (span.name.split() or [""])[0])]


@pytest.fixture
def spans() -> Collected:
    """All spans of a test."""
    return Collected()


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    """Everything enqueued must be used, every chat closed."""
    with FakeEngine(patience=10) as engine:
        yield engine


@pytest.fixture
def desk(fake: FakeEngine, spans: Collected) -> Iterator[Client]:
    """A client of the fake, traced."""
    with Client(engine=fake) as opened:
        instrument(opened, spans.provider)
        yield opened


def under(child: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether one is a child of the other."""
    return child.parent is not None and child.parent.span_id == parent.context.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Without the prefix that nearly all of them have."""
    return {name.removeprefix("gen_ai."): value for name, value in (span.attributes or {}).items()}


def test_a_turn_and_its_generation(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """What was asked for, and what it came to; nothing of what was said."""
    fake.enqueue("Hello, Ada.")
    with desk.chat("Be brief.") as chat:
        sampler = {"temperature": 0.5, "seed": 7}
        reply = chat.send("I am Ada.", sampler=sampler, max_output_tokens=20, stop="!")
    (turn,), (hop,) = spans("invoke_agent"), spans("chat")
    assert (turn.name, hop.name) == ("invoke_agent", f"chat {attributes(hop)['request.model']}")
    assert turn.parent is None
    assert under(hop, turn)
    said = attributes(hop)
    conversation = said.pop("conversation.id")
    seconds = said.pop("response.time_to_first_chunk")
    assert seconds == reply.hops[0].timings.time_to_first_token
    assert said == {
        "operation.name": "chat",
        "provider.name": "litertlm",
        "request.model": "fake",
        "request.temperature": 0.5,
        "request.seed": 7,
        "request.max_tokens": 20,
        "request.stop_sequences": ("!",),
        "response.model": "fake",
        "response.finish_reasons": ("stop",),
        "usage.input_tokens": reply.usage.prompt_tokens,
        "usage.output_tokens": reply.usage.completion_tokens,
        "usage.cache_read.input_tokens": 0,
    }
    assert attributes(turn)["operation.name"] == "invoke_agent"
    assert attributes(turn)["conversation.id"] == conversation
    assert turn.status.status_code is hop.status.status_code is StatusCode.UNSET
    assert "Ada" not in repr([span.to_json() for span in spans()])


def test_turns_of_a_chat_belong_together(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """By the conversation's id; a fork is another one. What is in the cache is input, and told apart."""
    with desk.chat() as chat:
        chat.send("one")
        second = chat.send("two")
        with chat.fork() as fork:
            fork.send("three")
    first, again, forked = (attributes(span) for span in spans("invoke_agent"))
    assert first["conversation.id"] == again["conversation.id"] != forked["conversation.id"]
    assert again["usage.cache_read.input_tokens"] == second.usage.reused_tokens > 0
    assert again["usage.input_tokens"] == second.usage.prompt_tokens + second.usage.reused_tokens


def test_tools_have_spans_of_their_own(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """Below the turn, beside its generations; in a handler its span is the current one."""
    tracer = spans.provider.get_tracer("application")

    @tool
    def weather(city: str) -> str:
        """Current weather.

        Args:
            city: Of it.
        """
        with tracer.start_as_current_span(f"look up {city}"):
            return "sunny"

    fake.enqueue_tool_calls([("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})])
    fake.enqueue("Sunny.")
    with tracer.start_as_current_span("request"), desk.chat(tools=[weather]) as chat:
        chat.send("Weather in Paris and Rome?", max_concurrent_tools=2)
        assert trace.get_current_span().name == "request"  # type: ignore[attr-defined]
    (request,), (turn,) = spans("request"), spans("invoke_agent")
    hops, calls, looks = spans("chat"), spans("execute_tool"), spans("look")
    assert under(turn, request)
    assert [under(span, turn) for span in (*hops, *calls)] == [True] * 4
    assert {look.name for look, call in zip(looks, calls, strict=True)} == {"look up Paris", "look up Rome"}
    assert {look.parent and look.parent.span_id for look in looks} == {call.context.span_id for call in calls}
    said = attributes(calls[0])
    assert calls[0].name == "execute_tool weather"
    assert said["tool.name"] == "weather"
    assert said["tool.description"] == "Current weather."
    assert said["tool.type"] == "function"
    assert said["tool.call.id"] != attributes(calls[1])["tool.call.id"]
    assert attributes(hops[0])["response.finish_reasons"] == ("tool_call",)
    assert attributes(hops[1])["response.finish_reasons"] == ("stop",)
    total = sum(attributes(hop)["usage.output_tokens"] for hop in hops)
    assert attributes(turn)["usage.output_tokens"] == total


def test_content_is_written_down_on_request(fake: FakeEngine, spans: Collected, png: bytes) -> None:
    """Messages in the conventions' form; never the bytes of pictures."""
    fake.enqueue_tool_calls([("look_up", {"word": "Ada"})])
    fake.enqueue("A name.", thinking="hm")
    look_up = Tool("look_up", "Look a word up", WORD, lambda word: {"found": True})
    with Client(engine=fake) as client, client.chat("Be brief.", tools=[look_up]) as chat:
        instrument(chat, spans.provider, content=True)
        chat.send_multi([Image(png), "What is Ada?"])
    first, second = (attributes(span) for span in spans("chat"))
    assert json.loads(second["system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    question = {"role": "user", "parts": [{"type": "image"}, {"type": "text", "content": "What is Ada?"}]}
    assert json.loads(first["input.messages"]) == [question]
    told = json.loads(second["input.messages"])
    call = told[1]["parts"][0]
    assert told[0] == question
    assert (told[1]["role"], call["type"], call["name"]) == ("assistant", "tool_call", "look_up")
    answer = {"type": "tool_call_response", "id": call["id"], "response": {"found": True}}
    assert told[2] == {"role": "tool", "parts": [answer]}
    parts = [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "A name."}]
    assert json.loads(second["output.messages"]) == [
        {"role": "assistant", "parts": parts, "finish_reason": "stop"}
    ]
    (executed,) = (attributes(span) for span in spans("execute_tool"))
    assert json.loads(executed["tool.call.arguments"]) == {"word": "Ada"}
    assert json.loads(executed["tool.call.result"]) == {"found": True}


def test_failures_are_told_by_class(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """In the generation and in the turn; an error that may quote what was said is not quoted."""
    fake.enqueue_error(EngineError("secret"), "Hel")
    with desk.chat() as chat, pytest.raises(EngineError):
        chat.send("Hello!")
    for span in (*spans("invoke_agent"), *spans("chat")):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "litertlm.errors.EngineError"
    assert len(spans()) == 2
    assert "secret" not in repr([span.to_json() for span in spans()])


@pytest.mark.parametrize("leave", ["cancel", "close", "drop"])
def test_a_turn_that_is_left_ends_its_spans(
    fake: FakeEngine, desk: Client, spans: Collected, leave: str
) -> None:
    """Cancelled, closed or forgotten."""
    fake.enqueue("one two three four")
    with desk.chat() as chat:
        stream = chat.send_stream("Count.")
        next(stream)
        if leave == "cancel":
            stream.cancel()
            with pytest.raises(Cancelled):
                list(stream)
        elif leave == "close":
            stream.close()
        del stream
    assert [span.name.split()[0] for span in spans()] == ["invoke_agent", "chat"]
    for span in spans():
        assert attributes(span)["error.type"] == "litertlm.errors.Cancelled"
        assert span.status.status_code is StatusCode.ERROR


def test_tools_that_fail(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """The failing call, one that was refused, and what was given up because of them."""

    def fail() -> None:
        raise LookupError("secret")

    bad, denied = Tool("bad", "Fails", handler=fail), Tool("denied", "Is refused", handler=fail)
    fake.enqueue_tool_calls([("denied", {}), ("bad", {})])
    with desk.chat(tools=[bad, denied]) as chat, pytest.raises(ToolError):
        chat.send("Go!", approve=lambda call, asked: Deny("no") if asked.name == "denied" else True)
    refused, failed = spans("execute_tool")
    assert (refused.name, failed.name) == ("execute_tool denied", "execute_tool bad")
    for span in (refused, failed, *spans("invoke_agent")):
        assert attributes(span)["error.type"] == "litertlm.errors.ToolError"
        assert span.status.status_code is StatusCode.ERROR
    (hop,) = spans("chat")
    assert hop.status.status_code is StatusCode.UNSET
    assert "secret" not in repr([span.to_json() for span in spans()])


def test_calls_in_flight_end_with_the_turn(fake: FakeEngine, desk: Client, spans: Collected) -> None:
    """A handler that runs while a sibling fails is given up, and so is its span."""

    def fail() -> None:
        raise LookupError

    def wait(context: ToolContext) -> None:
        context.cancel_token.wait(10)

    tools = [Tool("slow", "Waits", handler=wait), Tool("bad", "Fails", handler=fail)]
    fake.enqueue_tool_calls([("slow", {}), ("bad", {})])
    with desk.chat(tools=tools) as chat, pytest.raises(ToolError):
        chat.send("Go!", max_concurrent_tools=2)
    assert sorted(span.name for span in spans("execute_tool")) == ["execute_tool bad", "execute_tool slow"]
    assert {attributes(span)["error.type"] for span in spans("execute_tool")} == {"litertlm.errors.ToolError"}


def test_asyncio(fake: FakeEngine, spans: Collected) -> None:
    """The task's span is the parent, and async handlers see the span of their call."""
    tracer = spans.provider.get_tracer("application")

    async def look_up() -> str:
        with tracer.start_as_current_span("look up"):
            await asyncio.sleep(0)
            return "found"

    async def main() -> None:
        client = AsyncClient(engine=fake)
        with pytest.raises(ClosedError):
            instrument(client, spans.provider)
        async with client:
            instrument(client, spans.provider)
            chat = await client.chat(tools=[Tool("look_up", "Look up", handler=look_up)])
            with tracer.start_as_current_span("request"):
                await chat.send("Look it up!")
                async with chat.send_stream("Never mind.") as stream:
                    async for _ in stream:
                        break
            await chat.aclose()

    fake.enqueue_tool_calls([("look_up", {})])
    fake.enqueue("Found.")
    asyncio.run(main())
    (request,), (call,), (look,) = spans("request"), spans("execute_tool"), spans("look")
    kept, left = spans("invoke_agent")
    assert under(kept, request)
    assert under(left, request)
    assert under(call, kept)
    assert under(look, call)
    assert kept.status.status_code is StatusCode.UNSET
    assert attributes(left)["error.type"] == "litertlm.errors.Cancelled"


def test_it_can_be_ended(fake: FakeEngine, spans: Collected) -> None:
    """For a client, or for a chat alone; chats that were open before are traced too."""
    with Client(engine=fake) as client, client.chat() as chat, client.chat() as other:
        stop = instrument(client, spans.provider)
        chat.send("one")
        stop()
        stop()
        chat.send("two")
        assert len(spans("invoke_agent")) == 1
        instrument(other, spans.provider)
        chat.send("three")
        other.send("four")
        assert len(spans("invoke_agent")) == 2


def test_an_observer_that_fails_does_no_harm(
    fake: FakeEngine, caplog: pytest.LogCaptureFixture, spans: Collected
) -> None:
    """It is logged, and others are told."""

    class Broken:
        def begin(self, turn: TurnInfo) -> Any:
            raise ValueError("broken")

    with Client(engine=fake) as client, client.chat() as chat:
        client.observe(Broken())
        instrument(chat, spans.provider)
        assert chat.send("one").text
    assert "broken" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    assert len(spans("invoke_agent")) == 1


def test_on_the_real_engine(client: Client, spans: Collected) -> None:
    """The bundled model calls a tool; the spans are those of its two generations."""

    @tool
    def calculator(expression: str) -> str:
        """Calculate.

        Args:
            expression: For example 12 * 7.
        """
        return "84"

    chat: Chat
    with client.chat(tools=[calculator], sampler={"temperature": 0}) as chat:
        instrument(chat, spans.provider)
        reply = chat.send("What is 12 * 7?")
    (turn,), hops, calls = spans("invoke_agent"), spans("chat"), spans("execute_tool")
    assert [under(span, turn) for span in (*hops, *calls)] == [True] * 3
    assert hops[0].name == "chat litertlm-tiny"
    assert attributes(turn)["usage.output_tokens"] == reply.usage.completion_tokens
    for hop, span in zip(reply.hops, hops, strict=True):
        assert attributes(span)["usage.output_tokens"] == hop.usage.completion_tokens
        assert attributes(span)["usage.input_tokens"] == hop.usage.prompt_tokens + hop.usage.reused_tokens
