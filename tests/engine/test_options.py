"""Every option of a turn has its effect, in that turn only."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from litertlm import EngineError, Message, OptionError, Sampler, Text
from litertlm._engine.seam import Engine, ToolSpec
from litertlm.errors import ToolCallSyntaxError
from litertlm.options import JsonSchema, Regex

from .conftest import Open, say, user

QUESTION = "Tell me a story."
WEATHER = ToolSpec(
    "get_weather",
    "Weather",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
HOT = Sampler(temperature=2.0, top_k=200, top_p=1.0, seed=1)


def test_all_options_are_offered(engine: Engine) -> None:
    """The installed library can do everything."""
    assert engine.info.options >= {
        "max_output_tokens", "timeout", "sampler", "repetition_penalty", "presence_penalty",
        "frequency_penalty", "no_repeat_ngram", "suppressed_tokens", "thinking", "thinking_budget",
        "visual_token_budget", "response_format", "stop", "tools",
    }  # fmt: skip


def test_a_token_limit_cuts_the_reply(opened: Open) -> None:
    """And says so."""
    said = say(opened(), QUESTION, max_output_tokens=3)
    assert said.end.cut
    assert said.end.completion_tokens == 3


def test_suppressed_tokens_never_come(opened: Open, engine: Engine) -> None:
    """Those of the reply that would have come otherwise."""
    usual = set(engine.tokenize(say(opened(), QUESTION).text))
    text = say(opened(), QUESTION, suppressed_tokens=tuple(usual)).text
    assert usual.isdisjoint(engine.tokenize(text))


def test_no_sequence_of_tokens_comes_twice(opened: Open, engine: Engine) -> None:
    """Of the length that was asked for."""
    said = say(opened(), QUESTION, no_repeat_ngram=1, max_output_tokens=40)
    tokens = engine.tokenize(said.text)
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    "penalty", [{"repetition_penalty": 5.0}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}], ids=list
)
def test_penalties_change_what_is_said(opened: Open, penalty: dict[str, float]) -> None:
    """With everything else the same, the seed too."""
    drawn = {"sampler": HOT, "max_output_tokens": 60}
    assert say(opened(), QUESTION, **drawn, **penalty).text != say(opened(), QUESTION, **drawn).text


def test_a_regular_expression_shapes_the_reply(opened: Open) -> None:
    """All of it."""
    said = say(opened(), QUESTION, response_format=Regex("[0-9]{3}-[0-9]{4}"))
    assert re.fullmatch("[0-9]{3}-[0-9]{4}", said.text)


def test_a_schema_shapes_the_reply(opened: Open) -> None:
    """The reply is JSON of that form; also right after another form, in the same conversation."""
    conversation = opened()
    say(conversation, QUESTION, response_format=Regex("yes|no"))
    person = json.loads(
        say(conversation, "Who?", response_format=JsonSchema(PERSON), max_output_tokens=60).text
    )
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


@pytest.mark.parametrize(
    "wanted",
    [Regex("(?=a)b"), JsonSchema({"unevaluatedProperties": False}), JsonSchema({"type": "nope"})],
    ids=["regex", "keyword", "type"],
)
def test_a_form_that_the_engine_cannot_enforce_is_refused(opened: Open, wanted: Any) -> None:
    """With the engine's words; the conversation is as it was."""
    conversation, other = opened(), opened()
    for each in (conversation, other):
        say(each, QUESTION)
    with pytest.raises(OptionError, match="LLGuidance"):
        say(conversation, QUESTION, response_format=wanted)
    assert conversation.token_count == other.token_count
    replayed = opened(*messages_of(other))
    assert say(conversation, QUESTION).text == say(replayed, QUESTION).text


@pytest.mark.parametrize(
    "wanted", [Regex("New York"), JsonSchema({"const": "\u00e9"})], ids=["space", "letter"]
)
def test_a_form_that_the_model_cannot_write_is_a_typed_error(opened: Open, wanted: Any) -> None:
    """Found out in the middle of the reply; gone back, the conversation goes on."""
    conversation = opened()
    mark = conversation.mark()
    with pytest.raises(OptionError, match="cannot write"):
        say(conversation, QUESTION, response_format=wanted)
    conversation.rewind(mark)
    assert say(conversation, QUESTION).text == say(opened(), QUESTION).text


def test_thinking_is_switched_for_a_turn(opened: Open) -> None:
    """On, limited, and off."""
    conversation = opened()
    assert not say(conversation, "What is 2 plus 3?", thinking=False).thinking
    thought = say(opened(), "What is 2 plus 3?", thinking=True, max_output_tokens=200)
    limited = say(opened(), "What is 2 plus 3?", thinking=True, thinking_budget=2, max_output_tokens=200)
    assert len(limited.thinking) < len(thought.thinking)
    assert not say(opened(thinking=True), "What is 2 plus 3?", thinking=False).thinking
    with pytest.raises(OptionError, match="thinking to be on"):
        say(conversation, QUESTION, thinking_budget=2)


def test_turns_after_thinking_are_counted(opened: Open) -> None:
    """The engine prefills the reply without its thinking first; what is reused is what is left."""
    conversation = opened(thinking=True)
    first = say(conversation, "What is 2 plus 3?", max_output_tokens=60)
    second = say(conversation, "And 4 plus 4?", max_output_tokens=60)
    end = second.end
    assert end.completion_tokens > 0
    assert end.reused_tokens + end.prompt_tokens + end.completion_tokens == end.token_count
    assert end.reused_tokens < first.end.token_count


def test_the_sampler_changes_within_a_conversation(opened: Open) -> None:
    """Hot, the same for the same seed; cold again, as if it had never been hot."""
    hot = say(opened(), QUESTION, sampler=HOT)
    assert say(opened(), QUESTION, sampler=HOT).text == hot.text
    assert (
        say(opened(), QUESTION, sampler=Sampler(temperature=2.0, top_k=200, top_p=1.0, seed=2)).text
        != hot.text
    )
    conversation = opened()
    say(conversation, "Hello!")
    said = messages_of(conversation)
    again = say(conversation, QUESTION, sampler=HOT)
    assert again.text == say(opened(*said), QUESTION, sampler=HOT).text
    said = messages_of(conversation)
    assert say(conversation, QUESTION).text == say(opened(*said), QUESTION).text


def test_tools_can_be_hidden(opened: Open, engine: Engine) -> None:
    """Their declarations are not prefilled then."""
    shown = say(opened(tools=(WEATHER,)), "Weather in Paris?").end.prompt_tokens
    hidden = say(opened(tools=(WEATHER,)), "Weather in Paris?", tools=False).end.prompt_tokens
    assert hidden == say(opened(), "Weather in Paris?").end.prompt_tokens < shown


def test_a_broken_tool_call_is_a_typed_error(opened: Open) -> None:
    """The whole turn is lost; gone back, the conversation is as before."""
    conversation = opened(tools=(WEATHER,))
    mark = conversation.mark()
    broken = Regex(r"<\|tool_call>call:get_weather\{city:x\}<tool_call\|>")
    with pytest.raises(ToolCallSyntaxError) as caught:
        say(conversation, "Weather in Paris?", response_format=broken, max_output_tokens=60)
    assert caught.value.text == "<|tool_call>call:get_weather{city:x}<tool_call|>"
    assert isinstance(caught.value, EngineError)
    conversation.rewind(mark)
    assert conversation.token_count == 0
    fresh = say(opened(tools=(WEATHER,)), "Weather in Paris?")
    assert say(conversation, "Weather in Paris?").text == fresh.text


def test_ids_of_tool_calls_are_unique_in_a_conversation(opened: Open) -> None:
    """Also after going back, in a fork, and in one that is rebuilt from messages."""
    conversation = opened(tools=(WEATHER,))
    mark = conversation.mark()
    call = Regex(r"<\|tool_call>call:get_weather\{city:1\}<tool_call\|>")

    def called(which: Any) -> str:
        return say(which, "Weather?", response_format=call, max_output_tokens=60).calls[0].id

    ids = [called(conversation), called(conversation)]
    conversation.rewind(mark)
    ids.append(called(conversation))
    fork = conversation.fork()
    rebuilt = opened(*messages_of(conversation), tools=(WEATHER,))
    assert called(fork) not in ids
    assert called(rebuilt) not in ids[2:]
    assert len(set(ids)) == 3
    fork.close()


OPTIONS: list[dict[str, Any]] = [
    {"max_output_tokens": 2},
    {"repetition_penalty": 5.0},
    {"presence_penalty": 2.0},
    {"frequency_penalty": 2.0},
    {"no_repeat_ngram": 1},
    {"suppressed_tokens": tuple(range(300, 900))},
    {"thinking": True, "thinking_budget": 2},
    {"sampler": HOT},
    {"response_format": Regex("yes|no")},
    {"response_format": JsonSchema(PERSON)},
    {"stop": ("e",)},
    {"tools": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options))
def test_an_option_leaves_no_trace_in_the_next_turn(opened: Open, options: dict[str, Any]) -> None:
    """Made with an option and gone back from, a turn has never been."""
    conversation = opened(tools=(WEATHER,))
    mark = conversation.mark()
    say(conversation, QUESTION, **{"max_output_tokens": 40, **options})
    conversation.rewind(mark)
    fresh = say(opened(tools=(WEATHER,)), QUESTION)
    after = say(conversation, QUESTION)
    assert (after.text, after.thinking, after.end.token_count) == (
        fresh.text, fresh.thinking, fresh.end.token_count,
    )  # fmt: skip


REMADE = [each for each in OPTIONS if {"sampler", "response_format", "thinking", "stop", "tools"} & set(each)]
SENT_ALONG = [each for each in OPTIONS if each not in REMADE and "max_output_tokens" not in each]


@pytest.mark.parametrize("options", REMADE, ids=lambda options: "+".join(options))
def test_an_option_of_the_conversation_ends_with_its_turn(opened: Open, options: dict[str, Any]) -> None:
    """The next turn is one without it: the same as in a conversation that starts with what was said."""
    conversation = opened(tools=(WEATHER,))
    say(conversation, QUESTION, **{"max_output_tokens": 40, **options})
    rebuilt = opened(*messages_of(conversation), tools=(WEATHER,))
    assert say(conversation, "Hello!").text == say(rebuilt, "Hello!").text


@pytest.mark.parametrize("options", SENT_ALONG, ids=lambda options: "+".join(options))
def test_an_option_of_a_message_ends_with_its_turn(opened: Open, options: dict[str, Any]) -> None:
    """After a turn of one token, the same with and without it, the next one is the same, too."""
    conversation, plain = opened(), opened()
    if "suppressed_tokens" in options:
        options = {"suppressed_tokens": (5, 6)}  # such as would not come anyway
    assert (
        say(conversation, QUESTION, **options, max_output_tokens=1).text
        == say(plain, QUESTION, max_output_tokens=1).text
    )
    after, usual = say(conversation, QUESTION), say(plain, QUESTION)
    assert after.end.reused_tokens > 0
    assert (after.text, after.end.token_count) == (usual.text, usual.end.token_count)


def messages_of(conversation: Any) -> tuple[Message, ...]:
    """What was said in a conversation of the adapter."""
    messages: tuple[Message, ...] = conversation.messages
    return messages


def test_messages_are_as_said(opened: Open) -> None:
    """What the tests above rebuild conversations from."""
    conversation = opened()
    text = say(conversation, "Hello!").text
    assert messages_of(conversation) == (user("Hello!"), Message("assistant", (Text(text),)))
