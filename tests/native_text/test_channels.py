"""What a reply is split into, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litertlm._engine.native.text import Called, Malformed, Piece, ReplyParser, Said, TextProcessor, Thought
from litertlm._engine.native.text.channels import open_channel
from litertlm._engine.native.text.toolcalls import fences_of
from litertlm.modelfile.text_format import Channel

FENCES = fences_of("gemma4", {})
CHANNELS = (Channel("thought", "<|channel>thought\n", "<channel|>"), Channel("note", "<note>", "</note>"))
CALL = '<|tool_call>call:f{a:<|"|>x<|"|>}<tool_call|>'


def parser(inside: str = "") -> ReplyParser:
    """A parser with two channels and tool calls."""
    return ReplyParser(CHANNELS, FENCES, inside)


def joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbouring texts as one."""
    whole: list[Piece] = []
    for piece in pieces:
        last = whole[-1] if whole else None
        if isinstance(piece, Said) and isinstance(last, Said):
            whole[-1] = Said(last.text + piece.text)
        elif isinstance(piece, Thought) and isinstance(last, Thought) and last.channel == piece.channel:
            whole[-1] = Thought(last.text + piece.text, piece.channel)
        else:
            whole.append(piece)
    return whole


def parse(text: str, cuts: list[int] | None = None, inside: str = "") -> list[Piece]:
    """All pieces of a reply that comes cut at these places; None: after every character."""
    places = range(len(text) + 1) if cuts is None else [0, *sorted(cuts), len(text)]
    reader, pieces = parser(inside), list[Piece]()
    for begin, end in pairwise(places):
        pieces += reader.feed(text[begin:end])
    return joined(pieces + reader.finish())


REPLIES: dict[str, list[Piece]] = {
    "": [],
    "plain": [Said("plain")],
    "a<|channel>thought\nhm<channel|>b": [Said("a"), Thought("hm", "thought"), Said("b")],
    "<|channel>thought\nhm": [Thought("hm", "thought")],
    "<|channel>thought\n<channel|>": [],
    "<|channel>other\nx<channel|>": [Said("<|channel>other\nx<channel|>")],
    "<note>n</note><|channel>thought\nt<channel|>": [Thought("n", "note"), Thought("t", "thought")],
    f"Sure.{CALL}{CALL}Done": [Said("Sure."), Called("f", {"a": "x"}), Called("f", {"a": "x"}), Said("Done")],
    f"<|channel>thought\n{CALL}<channel|>z": [Thought(CALL, "thought"), Said("z")],
    "<|tool_call>call:f{a:1": [Said("<|tool_call>call:f{a:1")],
    "x<|tool_ca": [Said("x<|tool_ca")],
    "<<|channel>thought\n<channel<channel|>>": [Said("<"), Thought("<channel", "thought"), Said(">")],
    "<|tool_call>nonsense<tool_call|>b": [
        Malformed("<|tool_call>nonsense<tool_call|>", "'call' was expected where 'nonsense' is"),
        Said("b"),
    ],
    "<|tool_call><tool_call|>": [],
}


@pytest.mark.parametrize("text", REPLIES)
def test_replies(text: str) -> None:
    """Whole, and one character at a time."""
    assert parse(text, []) == parse(text) == REPLIES[text]


PARTS = (
    "a",
    "<",
    "|",
    ">",
    "\n",
    "<|tool_call>",
    "<tool_call|>",
    "call:f{}",
    "<|channel>thought\n",
    "<channel|>",
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from((*PARTS, "<note>", "</note>", "é"))), st.data())
def test_any_reply_cut_anywhere(parts: list[str], data: st.DataObject) -> None:
    """The pieces do not depend on how the reply comes."""
    text = "".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(text))))
    assert parse(text, cuts) == parse(text, [])


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("<|>chanelouti\n"), max_size=60))
def test_text_is_never_lost(text: str) -> None:
    """What is neither thinking nor a call is said, in order, and nothing that was said begins a fence."""
    shown = "".join(piece.text for piece in parse(text) if isinstance(piece, Said))
    if all(fence not in text for fence in ("<|channel>thought\n", "<|tool_call>", "<note>")):
        assert shown == text


def test_nothing_of_a_fence_is_shown() -> None:
    """What may become one waits, and is shown as soon as it cannot any more."""
    reader = parser()
    assert reader.feed("Hi <|chan") == [Said("Hi ")]
    assert reader.feed("nel>thou") == []
    assert reader.feed("sand") == [Said("<|channel>thousand")]


def test_thinking_is_shown_as_it_comes() -> None:
    """It need not be complete; calls must be."""
    reader = parser()
    assert reader.feed("<|channel>thought\nLet me") == [Thought("Let me", "thought")]
    assert reader.feed(" see<channel|>") == [Thought(" see", "thought")]
    assert reader.feed(CALL[:-1]) == []
    assert reader.feed(CALL[-1]) == [Called("f", {"a": "x"})]


def test_without_tools_calls_are_text(processor: TextProcessor) -> None:
    """And are not held back."""
    reader = processor.parser(tools=False)
    assert reader.feed(CALL) == [Said(CALL)]
    assert processor.parser(tools=True).feed(CALL) == [Called("f", {"a": "x"})]


def test_a_prompt_that_ends_inside_a_channel(processor: TextProcessor) -> None:
    """Then the reply begins there."""
    assert open_channel("a<|channel>thought\nx<channel|>b", CHANNELS) == ""
    assert open_channel("a<|channel>thought\nx<channel|>b<|channel>thought\n", CHANNELS) == "thought"
    reader = processor.parser(tools=False, prompt="<|turn>model\n<|channel>thought\n")
    assert reader.feed("hm<channel|>b") == [Thought("hm", "thought"), Said("b")]


def test_a_long_call_is_read_in_one_go() -> None:
    """What came of it already is not searched again and again."""
    reader = parser()
    text = '<|tool_call>call:f{a:<|"|>' + "x" * 200_000 + '<|"|>}<tool_call|>'
    pieces = [piece for place in range(0, len(text), 10) for piece in reader.feed(text[place : place + 10])]
    assert pieces == [Called("f", {"a": "x" * 200_000})]
