"""What a chat does, row by row; tools have a table of their own, and so has what only a real engine shows."""

from __future__ import annotations

from typing import Any

import pytest

from litertlm import (
    Client,
    ClosedError,
    Image,
    JsonSchema,
    Message,
    MessageError,
    ModalityUnavailable,
    OptionError,
    Regex,
    Sampler,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from litertlm.testing import FakeEngine, FakeReply, default_reply

from .table import Table
from .tools import Diary, parts_of, raw, weather

table = Table()


@table.row("NewChat and Close")
def opened_and_closed(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """A chat keeps its history; a fresh context is another chat; closing frees it, twice is once."""
    chat = desk.chat()
    chat.send("one")
    with desk.chat() as other:
        assert other.send("one").text == chat.history[-1].text
        assert other.history == chat.history
    assert fake.conversations_open == 1
    chat.close()
    chat.close()
    assert fake.conversations_open == 0
    with pytest.raises(ClosedError):
        chat.send("two")


@table.row("WithSystemPrompt")
def system(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Bare text in, one system message in front of everything."""
    with desk.chat("Be brief.") as chat:
        chat.send("Hello!")
    assert fake.turns[0].messages[0] == Message("system", (Text("Be brief."),))
    assert fake.turns[0].prompt.startswith("<bos><|turn>system\nBe brief.<turn|>")


@table.row("WithTool")
def mixed_tools(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Tools with and without handlers in one chat, and plain functions too."""

    def plain(text: str) -> str:
        """Do it."""
        return text

    with desk.chat(tools=[raw(), weather, plain]) as chat:
        fake.enqueue_tool_calls([("weather", {"city": "Oslo"})])
        fake.enqueue_tool_calls([("look_up", {"city": "Oslo"})])
        (call,) = chat.send("Oslo?").tool_calls
    assert call.name == "look_up"
    assert [tool.name for tool in fake.turns[0].tools] == ["look_up", "weather", "plain"]


@table.row("WithInitialMessages")
def initial_messages(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Earlier turns with pictures are there as if they had been made here, but cannot be undone."""
    earlier = [
        Message("user", (Image(png), Text("What is this?"))),
        Message("assistant", (Text("A red square."),)),
    ]
    with desk.chat("Be brief.", initial_messages=earlier) as chat:
        assert parts_of(chat.history[1]) == ["Image", "Text"]
        reply = chat.send("And its colour?")
        assert [message.role for message in fake.turns[0].messages] == ["system", "user", "assistant", "user"]
        assert reply.usage.image_tokens == 64
        with pytest.raises(MessageError):
            chat.undo(2)
        chat.reset()
        assert len(chat.history) == 3


@table.row("WithConstrainedDecoding")
def constrained(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """A response format, per chat or per call, not a switch: the engine takes one for each turn."""
    with desk.chat(response_format=Regex("yes|no")) as chat:
        fake.enqueue("yes")
        assert chat.send("Is it?").parsed == "yes"
        fake.enqueue('{"a": 1}')
        assert chat.send("What is a?", response_format={"type": "object"}).parsed == {"a": 1}
    assert [turn.options.response_format for turn in fake.turns] == [
        Regex("yes|no"),
        JsonSchema({"type": "object"}),
    ]


@table.row("WithExtraContext")
def thinking_on(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """An option of its own for what it is used for: a typed setting can be checked, a JSON text cannot."""
    with desk.chat(thinking=True) as chat:
        fake.enqueue("4", thinking="2+2 is 4")
        assert chat.send("2+2?").thinking == "2+2 is 4"
        chat.send("And now?", thinking=False)
    assert [turn.thinking for turn in fake.turns] == [True, False]


@table.row("WithFilterChannelContentFromKVCache")
def thoughts_are_not_kept(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Thinking never becomes history, without an option: no template wants earlier thoughts."""
    with desk.chat(thinking=True) as chat:
        fake.enqueue("4", thinking="2+2 is 4")
        chat.send("2+2?")
        chat.send("And 3+3?")
        assert "2+2 is 4" not in "".join(message.text for message in fake.turns[-1].messages)
        assert chat.history[1] == Message("assistant", (Text("4"),))


@table.row("Send")
def send(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """One turn: text, calls, finish reason, and the engine's own words."""
    with desk.chat(tools=[raw()]) as chat:
        fake.enqueue("Hello, Ada.")
        reply = chat.send("I am Ada.")
        assert (reply.text, str(reply), reply.tool_calls, reply.finish_reason) == (
            "Hello, Ada.",
            "Hello, Ada.",
            (),
            "stop",
        )
        assert reply.raw
        fake.enqueue_tool_calls([("look_up", {"city": "Rome"})], "Let me see.")
        reply = chat.send("Rome?")
        assert (reply.text, [call.name for call in reply.tool_calls]) == ("Let me see.", ["look_up"])
        assert (reply.finish_reason, bool(chat.pending_tool_calls)) == ("tool_calls", True)


@table.row("SendStream")
def send_stream(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Chunks, then one final chunk with the whole reply; an error ends the loop and leaves no trace."""
    with desk.chat() as chat:
        fake.enqueue("one two three")
        chunks = list(chat.send_stream("Count."))
        assert [chunk.text for chunk in chunks] == ["one", " two", " three", ""]
        assert [chunk.final for chunk in chunks] == [False, False, False, True]
        assert chunks[-1].reply is not None
        assert chunks[-1].reply.text == "one two three"
        before = chat.history
        fake.enqueue_error(ClosedError("gone"), "one two", at=1)
        heard = []
        with pytest.raises(ClosedError):
            for chunk in chat.send_stream("Again."):
                heard.append(chunk.text)
        assert (heard, chat.history) == (["one"], before)


@table.row("SendMulti and SendMultiStream")
def send_multi(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Parts share the KV cache with text turns, so later text may speak of an earlier picture."""
    with desk.chat() as chat:
        seen = chat.send_multi([Image(png), "What is this?"])
        assert seen.usage.image_tokens == 64
        after = chat.send("And its colour?")
        assert (after.usage.image_tokens, after.usage.reused_tokens) == (0, seen.usage.total_tokens)
        with chat.send_multi_stream(["And ", Image(png), "?"]) as stream:
            assert list(stream)[-1].final
        assert parts_of(fake.turns[-1].messages[-1]) == ["Text", "Image", "Text"]


@table.row("Image without vision backend")
def no_eyes(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """A typed error before anything is sent, instead of a failure inside the engine."""
    blind = FakeEngine(modalities=["text"])
    with Client(engine=blind) as client, client.chat() as chat:
        with pytest.raises(ModalityUnavailable, match="vision"):
            chat.send_multi([Image(png), "What is this?"])
        assert blind.turns == ()
        chat.send("Hello!")


@table.row("Empty parts")
def empty_parts(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Refused up front."""
    with desk.chat() as chat:
        for send in (chat.send_multi, chat.send_multi_stream):
            with pytest.raises(MessageError, match=r"litertlm: send_multi(_stream)?: empty parts"):
                send([])
    assert fake.turns == ()


@table.row("Text-only parts")
def text_parts(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """The same prompt and the same reply as one text."""
    with desk.chat() as one, desk.chat() as other:
        assert one.send_multi(["hel", Text("lo")]).text == other.send("hello").text
    assert fake.turns[0].prompt == fake.turns[1].prompt


@table.row("Tools in multimodal turns")
def tools_and_pictures(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Tools run in them as in any other."""
    with desk.chat(tools=[weather]) as chat:
        fake.enqueue_tool_calls([("weather", {"city": "Paris"})])
        fake.enqueue("Sunny.")
        reply = chat.send_multi([Image(png), "What is the weather here?"])
        assert (reply.text, len(reply.hops)) == ("Sunny.", 2)
        assert [message.role for message in chat.history] == ["user", "assistant", "tool", "assistant"]


@table.row("One-shot generation")
def one_shot(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Nothing is kept: equal prompts get equal replies, and no conversation stays open."""
    said = {desk.generate("Hello!").text, desk.generate("Hello!").text}
    said.add(desk.generate_multi(["Hello!"]).text)
    stream = desk.generate_stream("Hello!")
    said.add("".join(chunk.text for chunk in stream))
    said.add(stream.reply.text)
    assert said == {default_reply([Message("user", (Text("Hello!"),))])}
    assert fake.conversations_open == 0


@table.row("Per-call options")
def per_call_options(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """They hold for every generation of the turn, and for that turn only."""
    with desk.chat(tools=[weather], max_output_tokens=50) as chat:
        fake.enqueue_tool_calls([("weather", {"city": "Paris"})])
        fake.enqueue("Sunny.")
        options = {
            "max_output_tokens": 40,
            "sampler": {"seed": 7},
            "stop": "END",
            "repetition_penalty": 1.2,
            "visual_token_budget": 32,
        }
        chat.send("Weather?", **options)  # type: ignore[arg-type]
        chat.send("Thanks.")
    for turn in fake.turns[:2]:
        assert (turn.options.max_output_tokens, turn.options.stop) == (40, ("END",))
        assert (turn.options.repetition_penalty, turn.sampler.seed) == (1.2, 7)
        assert turn.options.visual_token_budget == 32
    assert (fake.turns[2].options.max_output_tokens, fake.turns[2].options.stop) == (50, ())


@table.row("WithVisualTokenBudget")
def visual_budget(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Caps what an image takes; a text-only turn may have it, and nothing happens."""
    with desk.chat() as chat:
        assert chat.send_multi([Image(png), "?"], visual_token_budget=16).usage.image_tokens == 16
        assert chat.send("Hello!", visual_token_budget=16).usage.image_tokens == 0
        with pytest.raises(OptionError):
            chat.send("Hello!", visual_token_budget=0)


@table.row("WithSampler and WithMaxOutputTokens")
def sampler_and_cut(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Per chat and per call: the engine takes both for each turn, so there is no reason to refuse them."""
    with desk.chat(sampler=Sampler(temperature=0.5, seed=1), max_output_tokens=3) as chat:
        fake.enqueue("one two three four five")
        assert chat.send("Count.").finish_reason == "length"
        fake.enqueue("one two three four five")
        reply = chat.send("Count.", sampler={"seed": 2}, max_output_tokens=10)
        assert (reply.text, reply.finish_reason) == ("one two three four five", "stop")
    assert (fake.turns[1].sampler.temperature, fake.turns[1].sampler.seed) == (0.5, 2)


@table.row("ToolCall")
def tool_call(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """A call has an id, a name and arguments as the model wrote them: whole numbers stay whole."""
    with desk.chat(tools=[raw()]) as chat:
        fake.enqueue_tool_calls([("look_up", {"city": "Oslo", "days": 3, "exact": 1.5})])
        (call,) = chat.send("Oslo?").tool_calls
    assert call == ToolCall(call.id, "look_up", {"city": "Oslo", "days": 3, "exact": 1.5})
    assert isinstance(call.arguments["days"], int)
    assert call.id


@table.row("TokenCount")
def token_count(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Both what is in the KV cache and what all turns took, without a flag and never a silent zero."""
    with desk.chat(tools=[Diary().tool()]) as chat:
        assert (chat.token_count, chat.usage) == (0, Usage())
        fake.enqueue_tool_calls([("note", {"city": "Rome"})])
        first = chat.send("Note it.")
        assert len(first.hops) == 2
        assert first.usage == first.hops[0].usage + first.hops[1].usage
        second = chat.send("Thanks.")
        assert chat.usage == first.usage + second.usage
        assert chat.token_count == chat.context.used == chat.usage.total_tokens
        remaining = chat.context.remaining
        assert remaining is not None
        assert chat.context.limit == remaining + chat.token_count


@table.row("Counting before sending")
def counting(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """What a message will take is known before it is sent, and what the model will read can be seen."""
    with desk.chat("Be brief.") as chat:
        for message in ("Hello!", "And now?"):
            expected, prompt = chat.count(message), chat.render(message)
            assert chat.send(message).usage.prompt_tokens == expected
            assert fake.turns[-1].prompt == prompt
        assert chat.count([Image(png)]) > 64


@table.row("Completion")
def completion(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Text goes on as it stands; options that mean nothing here are refused, never ignored."""
    fake.enqueue(FakeReply("a time.", chunk_tokens=None))
    reply = desk.complete("Once upon", max_output_tokens=5)
    assert (reply.text, fake.turns[0].prompt, fake.turns[0].messages) == ("a time.", "Once upon", ())
    assert reply.raw
    for ignored in ({"thinking": True}, {"max_tool_hops": 3}, {"on_event": print}, {"response_format": {}}):
        with pytest.raises(OptionError, match=next(iter(ignored))):
            desk.complete("Once upon", **ignored)  # type: ignore[arg-type]
    score = desk.score(" time", after="a")
    assert score.total == sum(score.tokens)


@table.row("Tool results by hand")
def results_by_hand(fake: FakeEngine, desk: Client, png: bytes) -> None:
    """One result for every call, in any order; anything else is refused and changes nothing."""
    with desk.chat(tools=[raw()]) as chat:
        with pytest.raises(MessageError, match="No tool call waits"):
            chat.send_tool_result(ToolResult("call_1", "look_up", 1))
        fake.enqueue_tool_calls([("look_up", {"city": "Rome"}), ("look_up", {"city": "Oslo"})])
        one, two = chat.send("Where?").tool_calls
        first, second = ToolResult(one.id, one.name, "south"), ToolResult(two.id, two.name, "north")
        stranger = ToolResult("no such call", one.name, "?")
        for wrong in ([first], [first, first, second], [first, stranger], [first, second, stranger], []):
            with pytest.raises(MessageError):
                chat.send_tool_result(wrong)
        assert chat.pending_tool_calls == (one, two)
        chat.send_tool_result([second, first])
        assert chat.history[2].parts == (first, second)
        assert chat.pending_tool_calls == ()


@table.each
def test_feature(case: Any, fake: FakeEngine, desk: Client, png: bytes) -> None:
    """Every row holds."""
    case(fake, desk, png)
