"""Options of a turn on our own engine."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from litertlm import Chat, Client, Image, Lark, OptionError, Regex
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
        {"logit_bias": tuple((token, -100) for token in range(300, 900))},
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


def test_min_p_1_leaves_the_likeliest_token(native: Client) -> None:
    """Whatever the temperature."""
    hot = {"temperature": 4.0, "top_k": 1000, "top_p": 1.0, "seed": 3}
    greedy = said(native).text
    assert native.generate(STORY, sampler={**hot, "min_p": 1.0}, max_output_tokens=40).text == greedy
    assert native.generate(STORY, sampler=hot, max_output_tokens=40).text != greedy


def test_min_p_leaves_out_what_is_unlikely(native: Client) -> None:
    """Each token is at least so many times as likely as the likeliest one at its place."""
    hot = {"temperature": 1.0, "top_k": 1000, "top_p": 1.0, "min_p": 0.2, "seed": 3}
    reply = native.generate(STORY, sampler=hot, max_output_tokens=40, logprobs=True, top_logprobs=1)
    for token in reply.logprobs:
        assert token.logprob >= token.top_logprobs[0].logprob + math.log(0.2) - 1e-3


def test_a_bias_brings_a_token_or_keeps_it_away(native: Client) -> None:
    """In this turn only."""
    usual = native.tokenize(said(native).text)
    red = native.tokenize(" red")[0]
    assert set(native.tokenize(said(native, logit_bias=((red, 100),), tokens=8).text)) == {red}
    kept_away = said(native, logit_bias=tuple((token, -100) for token in set(usual[:8]))).text
    assert not set(usual[:8]) & set(native.tokenize(kept_away))


def test_a_small_bias_tips_the_scales(native: Client) -> None:
    """By as much as the two likeliest tokens lie apart, and not by less."""
    with native.chat(sampler={"temperature": 0}, max_output_tokens=1, logprobs=True, top_logprobs=2) as chat:
        first, second = chat.send(STORY).logprobs[0].top_logprobs
        gap = first.logprob - second.logprob
        chosen = []
        for share in (0.5, 1.5):
            reply = chat.regenerate(logit_bias={second.id: gap * share})
            chosen.append(reply.logprobs[0].id)
            assert reply.logprobs[0].top_logprobs[0] == first  # what the model thinks is as it was
    assert chosen == [first.id, second.id]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"logit_bias": {10**9: 1}}, "tokens are from 0"),
        ({"suppressed_tokens": [10**9]}, "tokens are from 0"),
        ({"logit_bias": {-1: 1}}, "from 0"),
        ({"logit_bias": {"a": 1}}, "whole number"),
        ({"logit_bias": {5: 101}}, "from -100 to 100"),
        ({"logit_bias": {5: math.nan}}, "from -100 to 100"),
        ({"logit_bias": {5: None}}, "a number"),
        ({"logit_bias": [5]}, "a dict"),
        ({"logit_bias": dict.fromkeys(range(10_001), 1)}, "more than 10000"),
        ({"sampler": {"min_p": 1.5}}, "min_p must be from 0 to 1"),
        ({"logprobs": 3}, "True or False"),
        ({"logprobs": True, "top_logprobs": 21}, "from 0 to 20"),
        ({"top_logprobs": 2}, "logprobs to be on"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused_by_name(native: Client, wrong: dict[str, Any], why: str) -> None:
    """And the chat goes on."""
    with native.chat() as chat:
        with pytest.raises(OptionError, match=why):
            chat.send("Hi", **wrong)
        assert chat.history == ()
        assert _answers(chat)


UNKNOWN_TO_LITERT: dict[str, dict[str, Any]] = {
    "min_p": {"sampler": {"min_p": 0.1}},
    "logit_bias": {"logit_bias": {5: 1.0}},
    "logprobs": {"logprobs": True},
    "Lark": {"response_format": Lark('start: "a"')},
}


@pytest.mark.parametrize("name", UNKNOWN_TO_LITERT)
def test_the_official_library_is_not_asked_for_what_it_cannot_do(official: Client, name: str) -> None:
    """It is refused by its name, for one turn and for a whole chat."""
    with official.chat() as chat:
        with pytest.raises(OptionError, match=f"litert engine cannot do {name}"):
            chat.send("Hi", **UNKNOWN_TO_LITERT[name])
        assert _answers(chat)
    with (
        official.chat(**UNKNOWN_TO_LITERT[name]) as chat,
        pytest.raises(OptionError, match=f"cannot do {name}"),
    ):
        chat.send("Hi")


@pytest.mark.parametrize("name", UNKNOWN_TO_LITERT)
def test_a_picture_takes_no_chat_where_its_options_are_ignored(client: Client, png: bytes, name: str) -> None:
    """The turn is refused, and the chat goes on without it."""
    with client.chat(**UNKNOWN_TO_LITERT[name]) as chat:
        with pytest.raises(OptionError, match=f"litert engine cannot do {name}"):
            chat.send_multi([Image(png), "What is it?"])
        assert chat.history == ()
        assert _answers(chat)


def test_a_continued_text_takes_them_too(native: Client, official: Client) -> None:
    """Those that mean something without messages, if the engine knows them."""
    red = native.tokenize(" red")[0]
    reply = native.complete("Once upon", logit_bias={red: 100}, max_output_tokens=3, logprobs=True)
    assert reply.text.split() == ["red"] * 3
    assert [token.id for token in reply.logprobs] == [red] * 3
    assert "red" not in native.complete("red red red red", suppressed_tokens=[red], max_output_tokens=3).text
    for unknown in ({"logit_bias": {red: 1}}, {"logprobs": True}, {"sampler": {"min_p": 0.1}}):
        with pytest.raises(OptionError, match="complete takes no"):
            official.complete("Once upon", **unknown)  # type: ignore[arg-type]


def test_options_are_part_of_a_saved_chat(native: Client) -> None:
    """What is said of tokens by their ids, too."""
    red = native.tokenize(" red")[0]
    with native.chat(logit_bias={red: 100}, sampler={"min_p": 0.5}, max_output_tokens=3) as chat:
        record = chat.record()
    assert json.loads(json.dumps(record.settings))["logit_bias"] == {str(red): 100}
    with native.load_chat(record) as loaded:
        assert loaded.send(STORY).text.split() == ["red"] * 3
    record = replace(record, settings={"logit_bias": {"red": 1}})
    with pytest.raises(OptionError, match="whole number"):
        native.load_chat(record)


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
