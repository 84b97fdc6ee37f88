"""What only a real engine shows, row by row."""

from __future__ import annotations

from typing import Any

from litertlm import Audio, Client, Image, Message, Regex, Text, Tool, ToolCall, ToolResult, Usage

from .table import Table

table = Table()
GREEDY = {"temperature": 0}


@table.row("Images and audio stay in the KV cache")
def media_in_cache(client: Client, png: bytes, wav: bytes) -> None:
    """They are prefilled once; later text turns reuse them, also after a failed turn."""
    with client.chat(sampler=GREEDY, max_output_tokens=8) as chat:
        seen = chat.send_multi([Image(png), Audio(wav), "What is this?"])
        assert seen.usage.image_tokens > 0
        assert seen.usage.audio_tokens > 0
        after = chat.send("And now?")
        assert (after.usage.image_tokens, after.usage.audio_tokens) == (0, 0)
        assert after.usage.reused_tokens >= seen.usage.image_tokens + seen.usage.audio_tokens


@table.row("Initial messages with media")
def initial_media(client: Client, png: bytes, wav: bytes) -> None:
    """The first turn prefills them."""
    earlier = [
        Message("user", (Image(png), Text("What is this?"))),
        Message("assistant", (Text("A red square."),)),
    ]
    with client.chat(initial_messages=earlier, max_output_tokens=4) as chat:
        assert chat.send("And its colour?").usage.image_tokens > 0
        assert chat.send("Thanks.").usage.image_tokens == 0


@table.row("Token count and usage")
def counts(client: Client, png: bytes, wav: bytes) -> None:
    """The engine's own numbers, without a benchmark flag; counting before sending agrees with them."""
    with client.chat("Be brief.", max_output_tokens=6) as chat:
        assert (chat.token_count, chat.usage) == (0, Usage())
        expected = chat.count("Hello!")
        reply = chat.send("Hello!")
        assert reply.usage.prompt_tokens == expected
        assert 0 < reply.usage.completion_tokens <= 6
        assert chat.token_count == chat.usage.total_tokens == reply.usage.total_tokens
        assert reply.timings.decode_tokens_per_second > 0


@table.row("Visual token budget")
def visual_budget(client: Client, png: bytes, wav: bytes) -> None:
    """A smaller budget never takes more; text-only turns do not mind it."""
    with client.chat(max_output_tokens=4) as one, client.chat(max_output_tokens=4) as other:
        most = one.send_multi([Image(png), "?"]).usage.image_tokens
        assert 0 < other.send_multi([Image(png), "?"], visual_token_budget=70).usage.image_tokens <= most
        other.send("Hello!", visual_token_budget=70)


@table.row("Constrained decoding")
def constrained(client: Client, png: bytes, wav: bytes) -> None:
    """The reply has the form, whatever the model would have said; with a tool declared as well."""
    tool = Tool("look_up", "Look something up.")
    for tools in ([], [tool]):
        with client.chat(sampler=GREEDY, tools=tools) as chat:
            reply = chat.send("Is a circle round?", response_format=Regex("yes|no"), max_output_tokens=16)
            assert reply.tool_calls or reply.parsed in ("yes", "no")


@table.row("One-shot generation and completion")
def one_shot(client: Client, png: bytes, wav: bytes) -> None:
    """Streamed or not, the same text; a completion takes no template."""
    reply = client.generate("Hello!", sampler=GREEDY, max_output_tokens=8)
    stream = client.generate_stream("Hello!", sampler=GREEDY, max_output_tokens=8)
    assert "".join(chunk.text for chunk in stream) == reply.text
    bare = client.complete("Hello!", sampler=GREEDY, max_output_tokens=8)
    assert bare.usage.prompt_tokens < reply.usage.prompt_tokens


@table.row("Tool results")
def tool_results(client: Client, png: bytes, wav: bytes) -> None:
    """They are prefilled after what the cache holds, as any message."""
    begun = [
        Message("user", (Text("Rome?"),)),
        Message("assistant", (ToolCall("call_1", "look_up", {"city": "Rome"}),)),
    ]
    with client.chat(tools=[Tool("look_up", "")], initial_messages=begun, max_output_tokens=4) as chat:
        assert chat.send_tool_result(ToolResult("call_1", "look_up", "south")).usage.prompt_tokens > 0
        assert chat.history[2].role == "tool"


@table.row("Going back")
def going_back(client: Client, png: bytes, wav: bytes) -> None:
    """After undo and regenerate, greedy answers are what they were."""
    with client.chat(sampler=GREEDY, max_output_tokens=8) as chat:
        first = chat.send("Hello!").text
        count = chat.token_count
        chat.send("And you?")
        chat.undo()
        assert (chat.token_count, len(chat.history)) == (count, 2)
        assert chat.regenerate().text == first


@table.each
def test_engine_feature(case: Any, client: Client, png: bytes, wav: bytes) -> None:
    """Every row holds."""
    case(client, png, wav)
