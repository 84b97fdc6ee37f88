"""A chat remembers what was said, and a turn that does not end well leaves no trace."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest

from litertlm import (
    Audio,
    Cancelled,
    Chat,
    ChatBusy,
    Client,
    ClosedError,
    ContextOverflow,
    DeadlineExceeded,
    Image,
    MediaError,
    Message,
    MessageError,
    OptionError,
    Sampler,
    TemplateError,
    Text,
    Tool,
    ToolResult,
)
from litertlm._engine.seam import Preface
from litertlm.options import TurnOptions

GREEDY = {"temperature": 0}
# More than any reply needs, so that a turn is still running when it is interrupted.
LONG = 1000


def reply_after(client: Client, *said: str) -> tuple[str, int]:
    """What a fresh greedy chat that made only these turns answers to the last, and its token count."""
    with client.chat(sampler=GREEDY, max_output_tokens=12) as fresh:
        for message in said:
            reply = fresh.send(message)
        return reply.text, fresh.token_count


def reply_rebuilt(client: Client, history: tuple[Message, ...], message: str) -> tuple[str, int]:
    """What a conversation that starts with this history answers: the way a chat is rebuilt."""
    preface = Preface(messages=history, sampler=Sampler(temperature=0))
    conversation = client._engine.open(preface)
    try:
        turn = conversation.prepare(Message("user", (Text(message),)), TurnOptions(12))
        turn.start()
        text = ""
        while turn.end is None:
            text += "".join(delta.text for delta in turn.take(None))
        turn.close()
        return text, conversation.token_count
    finally:
        conversation.close()


def test_a_reply_has_text_usage_timings_and_a_finish_reason(chat: Chat) -> None:
    """Everything is accounted for without a benchmark flag."""
    reply = chat.send("hello")
    assert str(reply) == reply.text
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usage.total_tokens + reply.usage.reused_tokens == chat.token_count
    assert reply.finish_reason in ("stop", "length")
    assert 0 < reply.timings.time_to_first_token <= reply.timings.total
    assert reply.timings.decode_tokens_per_second > 0


def test_a_reply_that_is_cut_says_so(client: Client) -> None:
    """The engine gives no sign of it; the token count does."""
    with client.chat(max_output_tokens=2) as chat:
        reply = chat.send("hello")
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 2)


def test_turns_reuse_the_kv_cache(chat: Chat) -> None:
    """The second turn prefills only what is new."""
    first = chat.send("hello")
    second = chat.send("hello")
    held = first.usage.total_tokens + first.usage.reused_tokens
    # The last token that was sampled has not been run yet.
    assert second.usage.reused_tokens >= held - 1
    assert second.usage.prompt_tokens < first.usage.prompt_tokens + first.usage.completion_tokens
    assert chat.usage == first.usage + second.usage
    assert chat.context.used == chat.token_count == second.usage.total_tokens + second.usage.reused_tokens


def test_the_history_holds_what_was_said(client: Client) -> None:
    """System message, user message, reply."""
    with client.chat("Be brief.", max_output_tokens=4) as chat:
        reply = chat.send("hello")
        assert chat.history == (
            Message("system", (Text("Be brief."),)),
            Message("user", (Text("hello"),)),
            Message("assistant", (Text(reply.text),)),
        )


def test_a_stream_says_the_same_as_a_blocking_send(client: Client) -> None:
    """Chunks add up to the reply, which comes with the last one."""
    with client.chat(sampler=GREEDY, max_output_tokens=12) as chat:
        chunks = list(chat.send_stream("hello"))
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    reply = chunks[-1].reply
    assert reply is not None
    assert "".join(chunk.text for chunk in chunks) == reply.text
    assert reply.text == reply_after(client, "hello")[0]


def test_text_parts_are_the_same_as_one_text(client: Client) -> None:
    """The multimodal path is only taken when there is media."""
    with client.chat(sampler=GREEDY, max_output_tokens=12) as chat:
        assert chat.send_multi(["hel", Text("lo")]).text == reply_after(client, "hello")[0]


def test_media_are_counted_and_stay_in_the_cache(chat: Chat, png: bytes, wav: bytes) -> None:
    """A picture and a recording take tokens once; the next turn reuses them."""
    reply = chat.send_multi([Image(png), Audio(wav), "What is this?"])
    assert reply.usage.image_tokens > 20
    assert reply.usage.audio_tokens > 20
    assert reply.usage.image_tokens + reply.usage.audio_tokens < reply.usage.prompt_tokens
    after = chat.send("And now?")
    assert after.usage.image_tokens == after.usage.audio_tokens == 0
    assert after.usage.reused_tokens == reply.usage.total_tokens
    assert isinstance(chat.history[0].parts[0], Image)


def leave_stream(chat: Chat) -> None:
    """Break out of a stream."""
    for _ in chat.send_stream("Tell me a story.", max_output_tokens=LONG):
        break


def leave_with_block(chat: Chat) -> None:
    """Leave a with block by an exception."""
    with pytest.raises(ZeroDivisionError), chat.send_stream("Tell me a story.", max_output_tokens=LONG):
        raise ZeroDivisionError


def drop_unread_stream(chat: Chat) -> None:
    """Never read the stream at all."""
    chat.send_stream("Tell me a story.", max_output_tokens=LONG)
    gc.collect()


def run_out_of_time(chat: Chat) -> None:
    """Meet the deadline in the middle."""
    with pytest.raises(DeadlineExceeded, match=r"0\.001 s"):
        chat.send("Tell me a story.", max_output_tokens=LONG, timeout=0.001)


def cancel_in_the_middle(chat: Chat) -> None:
    """Cancel from outside after the first chunk."""
    stream = chat.send_stream("Tell me a story.", max_output_tokens=LONG)
    next(stream)
    chat.cancel()
    with pytest.raises(Cancelled):
        for _ in stream:
            pass


def be_interrupted(chat: Chat) -> None:
    """Ctrl-C while reading."""
    stream = chat.send_stream("Tell me a story.", max_output_tokens=LONG)
    next(stream)
    stream._turn._native.take = interrupt  # type: ignore[union-attr, method-assign]
    with pytest.raises(KeyboardInterrupt):
        for _ in stream:
            pass


def interrupt(timeout: float | None) -> list[object]:
    """What the interpreter does to a blocking call on Ctrl-C."""
    raise KeyboardInterrupt


def overflow_the_context(chat: Chat) -> None:
    """Send more than fits."""
    with pytest.raises(ContextOverflow) as caught:
        chat.send("word " * 5000)
    assert caught.value.used + caught.value.needed >= caught.value.limit


def send_bad_media(chat: Chat) -> None:
    """Send what is no image."""
    with pytest.raises(MediaError):
        chat.send_multi([Image(b"not an image"), "What is this?"])


def send_what_is_no_message(chat: Chat) -> None:
    """Empty, NUL, not text, no parts, wrong parts."""
    for bad in ("", "  \n", "a\0b", "\ud800"):
        with pytest.raises(MessageError):
            chat.send(bad)
    with pytest.raises(MessageError, match="litertlm: send_multi: empty parts"):
        chat.send_multi([])
    for wrong in ([42], [None], [b"bytes"]):
        with pytest.raises(MessageError):
            chat.send_multi(wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        chat.send("hello", max_output_tokens=0)


REFUSED = [overflow_the_context, send_bad_media, send_what_is_no_message]
UNDONE = [
    leave_stream,
    leave_with_block,
    drop_unread_stream,
    run_out_of_time,
    cancel_in_the_middle,
    be_interrupted,
]


@pytest.mark.parametrize("failure", REFUSED + UNDONE, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("turns_before", [0, 1, 2])
def test_a_failed_turn_leaves_no_trace(
    client: Client, failure: Callable[[Chat], None], turns_before: int
) -> None:
    """History, usage and token count are those from before, and the next reply is that of a chat in which the
    failed turn was never made; so it is after the second failure in a row.

    A turn that the engine had begun is undone by rendering the history anew, so the reference is, too.
    """
    with client.chat(sampler=GREEDY, max_output_tokens=12) as chat:
        said = ["hello"] * turns_before
        for message in said:
            chat.send(message)
        before = chat.history, chat.usage, chat.token_count
        for _ in range(2):
            failure(chat)
            assert (chat.history, chat.usage, chat.token_count) == before
        reply = chat.send("What is 2+2?")
        if failure in REFUSED:
            expected = reply_after(client, *said, "What is 2+2?")
        else:
            expected = reply_rebuilt(client, before[0], "What is 2+2?")
        assert (reply.text, chat.token_count) == expected


def test_a_failing_template_is_a_typed_error_and_the_chat_lives_on(client: Client) -> None:
    """Jinja errors only show at the first message that reaches them."""
    template = "{% for m in messages %}{{ m.role + 1 if m.content[0].text == 'bad' else 'x' }}{% endfor %}"
    with client.chat(sampler=GREEDY, max_output_tokens=4, chat_template=template) as chat:
        chat.send("good")
        before = chat.history, chat.token_count
        with pytest.raises(TemplateError):
            chat.send("bad")
        assert (chat.history, chat.token_count) == before
        chat.send("good")


def test_a_second_turn_is_refused_while_one_runs(chat: Chat) -> None:
    """Two turns at once would mix; the running one is not disturbed."""
    stream = chat.send_stream("hello")
    with pytest.raises(ChatBusy):
        chat.send("hello")
    assert list(stream)[-1].final
    chat.send("hello")


def test_a_closed_chat_says_so(client: Client) -> None:
    """Closing is idempotent; everything after it raises."""
    chat = client.chat()
    chat.close()
    chat.close()
    assert chat.closed
    with pytest.raises(ClosedError):
        chat.send("hello")


def test_closing_a_chat_ends_its_stream(client: Client) -> None:
    """Also in the middle, without waiting for the reply's end."""
    chat = client.chat()
    stream = chat.send_stream("Tell me a story.", max_output_tokens=LONG)
    next(stream)
    chat.close()
    with pytest.raises((ClosedError, Cancelled)):
        for _ in stream:
            pass


def test_chats_of_one_client_do_not_mix(client: Client) -> None:
    """Turns of several threads' chats are those that each would have made alone."""
    alone = reply_after(client, "hello", "What is 2+2?")
    answers: list[tuple[str, int]] = []

    def talk() -> None:
        answers.append(reply_after(client, "hello", "What is 2+2?"))

    threads = [threading.Thread(target=talk) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone] * 6


def test_a_slow_reader_does_not_keep_other_chats_waiting(client: Client) -> None:
    """A stream that nobody reads is finished by the engine; another chat's turn comes after it, not never."""
    with client.chat(max_output_tokens=12) as slow, client.chat(max_output_tokens=4) as other:
        stream = slow.send_stream("hello")
        other.send("hello", timeout=60)
        assert list(stream)[-1].final
        assert slow.token_count > 0


def test_tools_are_declared_and_results_go_back(client: Client) -> None:
    """A tool result is prefilled like any message."""
    tool = Tool("get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}})
    with client.chat(tools=[tool]) as chat:
        asked = chat.send("What is the weather in Paris?")
        (call,) = asked.tool_calls
        assert (asked.finish_reason, call.name) == ("tool_calls", "get_weather")
        assert chat.pending_tool_calls == asked.tool_calls
        reply = chat.send_tool_result(ToolResult(call.id, call.name, {"temperature": 21}))
        assert "21" in reply.text
        assert reply.usage.prompt_tokens > 0
        assert chat.history[-2].role == "tool"


def test_the_same_seed_gives_the_same_text(client: Client) -> None:
    """In new chats, whatever happened on the client in between."""
    texts = set()
    for _ in range(2):
        with client.chat(sampler={"temperature": 1.5, "top_k": 100, "seed": 7}, max_output_tokens=12) as chat:
            texts.add(chat.send("hello").text)
    assert len(texts) == 1
