"""Stop texts end a reply before they come, wherever the chunks are cut."""

from __future__ import annotations

import pytest

from litertlm import Sampler
from litertlm._engine.seam import Engine
from litertlm._engine.stops import StopFilter
from litertlm.options import Regex, TurnOptions

from .conftest import Open, Said, say

QUESTION = "Tell me a story."


def shown(text: str, stops: tuple[str, ...], size: int) -> tuple[str, bool]:
    """What a filter lets through of a text in pieces of that size, and whether a stop text came."""
    found = StopFilter(stops)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return "".join(map(found.feed, pieces)) + found.flush(), found.hit


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", ("two",), ("one ", True)),
        ("one two three", ("three", "two"), ("one ", True)),
        ("aab", ("ab",), ("a", True)),
        ("aaab", ("aab",), ("a", True)),
        ("one tw", ("two",), ("one tw", False)),
        ("stop", ("stop",), ("", True)),
        ("abcabd", ("abd",), ("abc", True)),
        ("caf\u00e9", ("\u00e9",), ("caf", True)),
        ("", ("x",), ("", False)),
        ("anything", (), ("anything", False)),
        ("abcd", ("bcx", "cd"), ("ab", True)),
    ],
)
def test_the_text_before_the_first_stop_is_shown(
    text: str, stops: tuple[str, ...], expected: tuple[str, bool], size: int
) -> None:
    """All of it, and nothing else; what only begins like one is shown in the end."""
    assert shown(text, stops, size) == expected


def test_what_cannot_be_a_stop_text_is_not_held_back() -> None:
    """A reader sees text as soon as it is known to be shown."""
    found = StopFilter(("\n\n",))
    assert found.feed("one\n") == "one"
    assert found.feed("two") == "\ntwo"


def test_a_reply_ends_before_a_stop_text(opened: Open) -> None:
    """The turn ends well; the next one goes on from the text that was shown."""
    whole = say(opened(), QUESTION, max_output_tokens=40).text
    stop = whole[len(whole) // 2 :][:6]
    conversation = opened()
    said = say(conversation, QUESTION, max_output_tokens=40, stop=("never in it", stop))
    assert said.text == whole[: whole.index(stop)]
    assert not said.end.cut
    assert said.end.error is None
    messages = conversation.messages  # type: ignore[attr-defined]
    assert messages[-1].text == said.text
    rebuilt = opened(*messages)
    assert say(conversation, "Hello!").text == say(rebuilt, "Hello!").text
    assert conversation.token_count == rebuilt.token_count


def test_a_stop_text_that_does_not_come_changes_nothing(opened: Open) -> None:
    """Also the KV cache is kept."""
    conversation, plain = opened(), opened()
    assert say(conversation, QUESTION, stop=("\u2603",)).text == say(plain, QUESTION).text
    assert say(conversation, "Hello!").end.reused_tokens == say(plain, "Hello!").end.reused_tokens > 0


def test_the_context_is_told_well_after_a_stop(opened: Open) -> None:
    """Used and needed tokens together are what the next prefill takes."""
    conversation = opened()
    say(conversation, "Hello!", response_format=Regex("abcdef"), stop=("d",))
    message = conversation.messages[0]  # type: ignore[attr-defined]
    expected = conversation.token_count + conversation.count(message)
    assert say(conversation, "Hello!").end.prompt_tokens == expected


def test_a_continued_text_stops_too(engine: Engine) -> None:
    """Raw text has no template, but stop texts."""
    options = TurnOptions(max_output_tokens=12, sampler=Sampler(temperature=0))
    whole = Said(engine.complete("once upon", options)).text
    stop = whole[len(whole) // 2 :]
    stopped = TurnOptions(max_output_tokens=12, sampler=Sampler(temperature=0), stop=(stop,))
    assert Said(engine.complete("once upon", stopped)).text == whole[: whole.index(stop)]
