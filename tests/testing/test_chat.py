"""A chat on the fake: what users of it test, and what they script."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from litertlm import (
    Audio,
    Cancelled,
    Chat,
    ChatBusy,
    Client,
    ContextOverflow,
    DeadlineExceeded,
    EngineError,
    Image,
    LiteRTLMError,
    Message,
    OptionError,
    Text,
    Tool,
    ToolResult,
)
from litertlm.options import TurnOptions
from litertlm.testing import FakeEngine, FakeReply, ScriptError, default_reply

from .driving import Outcome


def test_replies_come_in_the_order_of_the_script(fake: FakeEngine, chat: Chat) -> None:
    """Then the default reply."""
    fake.enqueue("one")
    fake.enqueue(FakeReply("two"))
    assert [chat.send("a").text, chat.send("b").text] == ["one", "two"]
    assert chat.send("c").text == default_reply(chat.history[:-1])
    assert chat.history[0] == Message("user", (Text("a"),))


def test_the_default_reply_tells_histories_apart(client: Client) -> None:
    """Equal ones give equal replies."""

    def talk(*said: str) -> str:
        with client.chat() as chat:
            return [chat.send(text).text for text in said][-1]

    assert talk("a", "b") == talk("a", "b")
    assert len({talk("a", "b"), talk("b"), talk("b", "a"), talk("ab")}) == 4


def test_replies_are_the_same_in_every_way(client: Client) -> None:
    """Timings too, so whole replies can be compared."""
    with client.chat() as one, client.chat() as two:
        assert one.send("hello") == two.send("hello")


def test_a_default_of_ones_own() -> None:
    """Instead of the hash."""
    fake = FakeEngine(default=lambda messages, options: messages[-1].text.upper())
    with Client(engine=fake) as client, client.chat() as chat:
        assert chat.send("hello").text == "HELLO"


def test_a_strict_script_must_foresee_every_turn() -> None:
    """The error names the message, and is no error that an application would handle."""
    with FakeEngine(strict=True) as fake, Client(engine=fake) as client, client.chat() as chat:
        fake.enqueue("one")
        chat.send("a")
        with pytest.raises(ScriptError, match="which asks 'b'") as caught:
            chat.send("b")
        assert not isinstance(caught.value, LiteRTLMError)
        fake.enqueue("two")
        assert chat.send("b").text == "two"
        assert len(chat.history) == 4


def test_a_stream_comes_in_the_chunks_of_the_script(fake: FakeEngine, chat: Chat) -> None:
    """A token each, unless said otherwise."""
    fake.enqueue("one two three four")
    fake.enqueue("one two three four", chunk_tokens=3)
    fake.enqueue("one two three four", chunk_tokens=None)
    assert [chunk.text for chunk in chat.send_stream("a")][:4] == ["one", " two", " three", " four"]
    assert [chunk.text for chunk in chat.send_stream("b")][:2] == ["one two three", " four"]
    assert [chunk.text for chunk in chat.send_stream("c")][:1] == ["one two three four"]


def test_thinking_comes_before_the_answer(fake: FakeEngine, client: Client) -> None:
    """And not at all in a chat that does not think."""
    fake.enqueue("4", thinking="two and two")
    fake.enqueue("4", thinking="two and two")
    with client.chat() as chat, client.chat(thinking=False) as hasty:
        reply = chat.send("2+2?")
        assert (reply.thinking, reply.text, reply.usage.completion_tokens) == ("two and two", "4", 5)
        assert hasty.send("2+2?").thinking == ""
    assert [turn.thinking for turn in fake.turns] == [None, False]


def test_tool_calls(fake: FakeEngine, client: Client) -> None:
    """Numbered through the conversation; results come back in the next turn's messages."""
    fake.enqueue_tool_calls([("weather", {"city": "Paris"}), ("clock", {})], "Let me see.")
    fake.enqueue("Sunny, at noon.")
    fake.enqueue_tool_calls([("clock", {})])
    with client.chat(tools=[Tool("weather", "Current weather"), Tool("clock")]) as chat:
        reply = chat.send("Weather and time?")
        assert reply.finish_reason == "tool_calls"
        assert [(call.id, call.name, call.arguments) for call in reply.tool_calls] == [
            ("call_1", "weather", {"city": "Paris"}),
            ("call_2", "clock", {}),
        ]
        results = [ToolResult(call.id, call.name, "ok") for call in reply.tool_calls]
        assert chat.send_tool_result(results).text == "Sunny, at noon."
        assert chat.send("And now?").tool_calls[0].id == "call_3"
    assert [tool.name for tool in fake.turns[0].tools] == ["weather", "clock"]
    assert fake.turns[0].outcome == "tool_calls"
    assert fake.turns[1].messages[-1].role == "tool"
    assert "sunny" not in fake.turns[1].prompt
    assert '<|tool_response>weather"ok"<tool_response|>' in fake.turns[1].prompt


def test_a_malformed_tool_call_fails_the_turn(fake: FakeEngine, chat: Chat) -> None:
    """As the engine does it."""
    fake.enqueue_malformed_tool_call("<|tool_call>weather{city", "Let me see.")
    with pytest.raises(EngineError, match="Failed to parse tool calls") as caught:
        chat.send("Weather?")
    assert caught.value.code == 3
    assert chat.history == ()


def test_a_tool_call_that_is_cut_is_raw_text(fake: FakeEngine, chat: Chat) -> None:
    """As the engine does it."""
    fake.enqueue_tool_calls([("weather", {"city": "Paris"})])
    reply = chat.send("Weather?", max_output_tokens=2)
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("<|tool_call>weather", (), "length")


@pytest.mark.parametrize(
    ("at", "said"), [("start", []), ("prefill", []), ("decode", ["one"]), (2, ["one", " two"]), (9, None)]
)
def test_errors_at_any_moment_leave_no_trace(
    fake: FakeEngine, chat: Chat, at: int, said: list[str] | None
) -> None:
    """The chat is as it was before."""
    first = chat.send("hello")
    history, usage, tokens = chat.history, chat.usage, chat.token_count
    fake.enqueue_error(EngineError("boom"), "one two three", at=at)
    heard: list[str] = []
    with pytest.raises(EngineError, match="boom"):
        heard.extend(chunk.text for chunk in chat.send_stream("fail"))
    assert heard == (["one", " two", " three"] if said is None else said) or at == "start"
    assert (chat.history, chat.usage, chat.token_count) == (history, usage, tokens)
    assert fake.turns[-1].outcome == ("refused" if at == "start" else "error")
    assert chat.send("again").text == default_reply((*history, Message("user", (Text("again"),))))
    assert first.usage.total_tokens == tokens


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("full")])
def test_other_exceptions_are_raised_where_the_reply_is_read(
    fake: FakeEngine, chat: Chat, error: BaseException
) -> None:
    """As Ctrl-C would be."""
    fake.enqueue_error(error, "one two", at="decode")
    with pytest.raises(type(error)):
        chat.send("fail")
    assert (chat.history, chat.token_count) == ((), 0)
    assert fake.turns[-1].outcome == "left"
    assert chat.send("again").text


def test_a_reply_can_be_computed(fake: FakeEngine, client: Client) -> None:
    """From all that was said, and the options; it may enqueue more, and may fail."""

    def answer(messages: Sequence[Message], options: TurnOptions) -> FakeReply:
        fake.enqueue("afterwards")
        return FakeReply(f"{len(messages)} messages, {options.max_output_tokens} tokens")

    def fail(messages: Sequence[Message], options: TurnOptions) -> str:
        raise AssertionError("not that message")

    with client.chat("Be brief.") as chat:
        fake.enqueue_callable(answer)
        assert chat.send("hi", max_output_tokens=50).text == "2 messages, 50 tokens"
        assert chat.send("more").text == "afterwards"
        fake.enqueue_callable(fail)
        with pytest.raises(AssertionError, match="not that message"):
            chat.send("hi")
        assert len(chat.history) == 5


def test_leaving_a_stream_undoes_the_turn(fake: FakeEngine, chat: Chat) -> None:
    """By break, by close, by forgetting it."""
    for leave in ("break", "close", "forget"):
        fake.enqueue("one two three")
        with chat.send_stream("hello") as stream:
            if leave == "break":
                for _ in stream:
                    break
            elif leave == "close":
                stream.close()
        if leave == "forget":
            fake.enqueue("one two three")
            chat.send_stream("hello")
            del stream
            gc.collect()
        assert (chat.history, chat.token_count) == ((), 0)
        assert fake.turns[-1].outcome == "left"
    assert fake.turns[-1].end is None


@pytest.mark.parametrize("hold", ["prefill", "decode", "end", 2])
def test_cancelling_from_another_thread(fake: FakeEngine, chat: Chat, hold: int) -> None:
    """At a moment that the test chooses."""
    gate = fake.enqueue("one two three", hold=hold)
    sending = Outcome(lambda: chat.send("hello"))
    gate.wait()
    chat.cancel()
    with pytest.raises(Cancelled):
        sending.result()
    assert (chat.history, chat.token_count) == ((), 0)
    assert chat.send("hello").text == default_reply(chat.history[:-1])


def test_a_busy_chat_says_so(fake: FakeEngine, chat: Chat) -> None:
    """While its turn is held."""
    with fake.enqueue("one", hold="prefill") as gate:
        sending = Outcome(lambda: chat.send("hello"))
        gate.wait()
        with pytest.raises(ChatBusy):
            chat.send("me too")
        assert len(fake.turns) == 1
    assert str(sending.result()) == "one"
    assert gate.released


def test_every_turn_can_be_held(fake: FakeEngine, client: Client) -> None:
    """Those that begin within the block; the others wait for the engine."""
    with client.chat() as one, client.chat() as two:
        with fake.hold("prefill") as gate:
            sending = [Outcome(lambda chat=chat: chat.send("hello")) for chat in (one, two)]  # type: ignore[misc]
            gate.wait()
            assert gate.arrived == 1
        assert len({str(send.result()) for send in sending}) == 1


def test_timeouts_pass_at_once(fake: FakeEngine, chat: Chat) -> None:
    """Before the first chunk, and between two."""
    fake.enqueue("one", prefill=3600)
    fake.enqueue("one two three", delay=40)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            chat.send("hello", timeout=100)
    assert (chat.history, chat.token_count) == ((), 0)


def test_a_full_context() -> None:
    """Seen before sending; a reply is cut by its end."""
    with FakeEngine(context=40) as fake, Client(engine=fake) as client, client.chat() as chat:
        fake.enqueue("word " * 100)
        reply = chat.send("hello")
        assert reply.finish_reason == "length"
        assert (chat.context.limit, chat.context.remaining) == (40, 0)
        with pytest.raises(ContextOverflow) as caught:
            chat.send("more")
        assert caught.value.used == 40
        assert len(chat.history) == 2
        assert len(fake.turns) == 1


def test_pictures_and_sound(fake: FakeEngine, chat: Chat, png: bytes, wav: bytes) -> None:
    """They are counted, and tell histories apart."""
    reply = chat.send_multi([Image(png), Audio(wav), "What?"])
    assert (reply.usage.image_tokens, reply.usage.audio_tokens) == (64, 32)
    assert "<|image|><|audio|>What?" in fake.turns[0].prompt
    assert isinstance(fake.turns[0].messages[-1].parts[0], Image)


def test_records_are_frozen_and_complete(fake: FakeEngine, client: Client) -> None:
    """The whole conversation, in order."""
    with client.chat("Be brief.", sampler={"temperature": 0}) as chat:
        chat.send("one")
        second = chat.send("two", max_output_tokens=3)
        history = chat.history
    first_turn, turn = fake.turns
    assert turn.messages == history[:-1]
    assert [message.role for message in turn.messages] == ["system", "user", "assistant", "user"]
    assert (turn.conversation, first_turn.conversation) == (1, 1)
    assert turn.options.max_output_tokens == 3
    assert turn.sampler.temperature == 0
    assert (turn.outcome, turn.reply, turn.error) == ("length", second.text, None)
    assert turn.end is not None and turn.end.completion_tokens == 3
    with pytest.raises(AttributeError):
        turn.outcome = "stop"  # type: ignore[misc]


def test_what_is_left_in_the_end_is_reported() -> None:
    """Replies that were not used, chats that were not closed, lost ones too."""
    fake = FakeEngine()
    client = Client(engine=fake)
    fake.enqueue("one")
    client.chat()
    gc.collect()
    assert (fake.pending, fake.conversations_open) == (1, 1)
    with pytest.raises(ScriptError, match=r"1 enqueued replies .*; 1 chats were not closed"):
        fake.assert_all_used()
    client.close()
    assert fake.conversations_open == 0
    with pytest.raises(ScriptError, match="not used"), fake:
        pass
    with pytest.raises(KeyError), FakeEngine() as other:
        other.enqueue("one")
        raise KeyError


@pytest.mark.parametrize(
    "wrong", [{"chunk_tokens": 0}, {"delay": -1}, {"hold": "somewhere"}, {"hold": -1}, {"hold": True}]
)
def test_scripts_are_checked(wrong: dict[str, object]) -> None:
    """When they are written."""
    with pytest.raises(OptionError):
        FakeEngine().enqueue("one", **wrong)  # type: ignore[arg-type]


def test_threads_talk_at_the_same_time(client: Client) -> None:
    """Each in its own chat, on one engine."""

    def talk(name: int) -> list[str]:
        with client.chat() as chat:
            return [chat.send(f"{name} says {turn}").text for turn in range(5)]

    talks = [Outcome(lambda name=name: talk(name)) for name in range(6)]  # type: ignore[misc]
    assert [done.result() for done in talks] == [talk(name) for name in range(6)]


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), EngineError("broken")])
def test_a_turn_that_will_fail_keeps_no_other_chat_waiting(error: BaseException) -> None:
    """Its reader meets the error when it comes to it; the engine is free before."""
    with (
        FakeEngine(patience=1) as fake,
        Client(engine=fake) as client,
        client.chat() as slow,
        client.chat() as other,
    ):
        fake.enqueue_error(error, "one two three four")
        stream = slow.send_stream("a")
        next(stream)
        assert other.send("b").text
        with pytest.raises(type(error)):
            list(stream)
        assert slow.history == ()
        assert slow.send("c").text
