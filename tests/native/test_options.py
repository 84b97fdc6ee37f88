"""Options of a turn on our own engine."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from litertlm import Chat, Client, OptionError, Regex
from litertlm._engine.seam import Preface, ToolSpec
from litertlm.options import Sampler, TurnOptions
from tests.engine.conftest import Said, user

STORY = "Tell me a story."
GREEDY = Sampler(temperature=0)


def said(client: Client, message: str = STORY, *, tokens: int = 40, **options: Any) -> Said:
    """One greedy turn in a conversation of its own."""
    conversation = client._engine.open(Preface(sampler=GREEDY))
    try:
        return Said(conversation.prepare(user(message), TurnOptions(max_output_tokens=tokens, **options)))
    finally:
        conversation.close()


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 5.0},
        {"presence_penalty": 2.0, "repetition_penalty": 1.5},
        {"frequency_penalty": 2.0, "repetition_penalty": 1.5},
        {"no_repeat_ngram": 1},
        {"suppressed_tokens": tuple(range(300, 900))},
    ],
    ids=lambda options: next(iter(options)),
)
def test_each_option_changes_what_is_said(native: Client, options: dict[str, Any]) -> None:
    """And leaves no trace in the next turn."""
    usual = said(native)
    assert said(native, **options).text != usual.text
    assert said(native).text == usual.text


def test_suppressed_tokens_never_come(native: Client) -> None:
    """Not one of them."""
    usual = native.tokenize(said(native).text)
    never = tuple(sorted(set(usual[:8])))
    assert not set(never) & set(native.tokenize(said(native, suppressed_tokens=never).text))


def test_no_group_of_tokens_comes_twice(native: Client) -> None:
    """However long it goes on."""
    ids = native.tokenize(said(native, no_repeat_ngram=2, tokens=120).text)
    pairs = list(itertools.pairwise(ids))
    assert len(pairs) - len(set(pairs)) <= 1  # where the text is encoded in another way than it was written


def test_thinking_ends_with_its_budget(native: Client) -> None:
    """After that the answer comes."""
    question = "What is 2 plus 3?"
    assert not said(native, question, thinking=False, tokens=200).thinking
    long = said(native, question, thinking=True, tokens=200)
    short = said(native, question, thinking=True, thinking_budget=2, tokens=200)
    assert long.thinking
    assert len(short.thinking) < len(long.thinking)
    assert short.text
    with pytest.raises(OptionError, match="thinking to be on"):
        said(native, question, thinking_budget=2)


def test_thinking_is_dropped_from_later_prompts(native: Client) -> None:
    """As the template wants it: the next prompt is shorter than what was computed."""
    with native.chat(thinking=True, sampler={"temperature": 0}) as chat:
        first = chat.send("What is 2 plus 3?")
        assert first.thinking
        chat.send("And 4 plus 5?")
        assert chat.token_count < chat.usage.total_tokens + chat.usage.reused_tokens


def test_a_deadline_ends_a_turn(native: Client) -> None:
    """It is as if it had never been."""
    with native.chat() as chat:
        with pytest.raises(TimeoutError):
            chat.send(STORY * 50, timeout=1e-6)
        assert chat.history == ()
        assert _answers(chat)


def test_ids_of_calls_go_on_in_a_fork(native: Client) -> None:
    """No id twice."""
    form = Regex(r"<\|tool_call>call:look\{city:1\}<tool_call\|>")
    look = ToolSpec("look", "Look.", {"type": "object", "properties": {"city": {"type": "integer"}}})
    conversation = native._engine.open(Preface(sampler=GREEDY, tools=(look,)))
    options = TurnOptions(response_format=form, max_output_tokens=60)
    first = Said(conversation.prepare(user("Look!"), options))
    fork = conversation.fork()
    second = Said(fork.prepare(user("Look!"), options))
    third = Said(conversation.prepare(user("Look!"), options))
    fork.close()
    conversation.close()
    assert first.calls[0].arguments == {"city": 1}
    assert first.calls[0].id not in (second.calls[0].id, third.calls[0].id)


def _answers(chat: Chat) -> str:
    return chat.send("Hi", max_output_tokens=4).text
