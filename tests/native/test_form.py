"""Replies that have to have a form, on our own engine."""

from __future__ import annotations

import json
import re

import pytest

from litertlm import Client, JsonSchema, Lark, OptionError, Regex


def test_a_regular_expression_holds_spaces_and_other_letters(native: Client) -> None:
    """What the official engine cannot write."""
    reply = native.generate("Where?", response_format=Regex("New York, Zürich|São Paulo"))
    assert reply.text in ("New York, Zürich", "São Paulo")


ADDRESS = """
start: city ", " street
city: "New York" | "São Paulo" | "東京"
street: /[A-Z][a-zé]{3,8}/ " " /[0-9]{1,3}/
"""


def test_a_grammar_is_kept_to(native: Client) -> None:
    """Its spaces and its letters too; the answer as an object is the text."""
    reply = native.generate("Where do you live?", response_format=Lark(ADDRESS))
    assert re.fullmatch("(New York|São Paulo|東京), [A-Z][a-zé]{3,8} [0-9]{1,3}", reply.text)
    assert reply.parsed == reply.text


def test_a_grammar_is_part_of_a_saved_chat(native: Client) -> None:
    """As every other form."""
    with native.chat(response_format=Lark('start: "a b"')) as chat:
        record = chat.record()
    with native.load_chat(record) as loaded:
        assert loaded.send("Say it.").text == "a b"


def test_a_schema_is_kept_to(native: Client) -> None:
    """Names, types and choices."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"enum": ["New York", "Köln"]},
            "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["city", "stars"],
        "additionalProperties": False,
    }
    reply = native.generate("Rate it.", response_format=JsonSchema(schema), max_output_tokens=200)
    value = json.loads(reply.text)
    assert value["city"] in ("New York", "Köln")
    assert value["stars"] in range(1, 6)


def test_the_next_turn_is_free(native: Client) -> None:
    """A form is asked for one turn at a time."""
    with native.chat(sampler={"temperature": 0}) as chat:
        assert chat.send("Say it.", response_format=Regex("yes|no")).text in ("yes", "no")
        assert chat.send("Tell me a story.", max_output_tokens=12).text not in ("yes", "no")


@pytest.mark.parametrize("broken", [Regex("("), JsonSchema({"type": "nonsense"}), Lark("start: (")])
def test_what_is_no_form_is_refused(native: Client, broken: Regex | JsonSchema | Lark) -> None:
    """Before anything is computed."""
    with native.chat() as chat:
        with pytest.raises(OptionError):
            chat.send("Hi", response_format=broken)
        assert chat.history == ()
