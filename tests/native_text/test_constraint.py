"""Replies have the form that was asked for, whatever the model would like to say."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from litertlm._engine.native.text import TextProcessor
from litertlm._engine.native.text.constraint import ConstraintCompiler
from litertlm._engine.native.text.tokenizer import Detokenizer, Tokenizer, read_tokenizer
from litertlm.errors import EngineError, OptionError
from litertlm.options import JsonSchema, Lark, Regex, ResponseFormat

from . import tokenizers_made

PERSON = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["New York", "é x"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "age"],
    "additionalProperties": False,
}
END = 1


def allowed(mask: bytes) -> list[int]:
    """The tokens of a mask."""
    return [8 * place + bit for place, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1]


def write(compiler: ConstraintCompiler, tokenizer: Tokenizer, wanted: ResponseFormat, seed: int = 0) -> str:
    """A reply of tokens drawn by chance from those that are allowed; it ends as soon as it may."""
    constraint, chance = compiler.compile(wanted, tokenizer.size), random.Random(seed)
    ids: list[int] = []
    while True:
        tokens = allowed(constraint.mask())
        assert tokens
        if END in tokens:
            assert constraint.is_satisfied
            constraint.accept(END)
            assert constraint.is_finished
            return Detokenizer(tokenizer).decode(ids)
        # Short tokens, so that blanks between the parts of JSON come to an end.
        ids.append(min(chance.choices(tokens, k=4), key=lambda token: len(tokenizer.token_bytes(token))))
        constraint.accept(ids[-1])


def tokenizer_of(kind: str) -> Tokenizer:
    """A tokenizer of each kind."""
    match kind:
        case "byte level":
            return read_tokenizer("huggingface", tokenizers_made.byte_level())
        case "prefixed":
            return read_tokenizer("huggingface", tokenizers_made.prefixed())
        case _:
            return read_tokenizer("sentencepiece", tokenizers_made.sentence_piece(kind == "plain pieces"))


KINDS = ("byte level", "prefixed", "plain pieces", "tidied pieces")


@pytest.mark.parametrize("kind", KINDS)
def test_blanks_and_other_letters(kind: str) -> None:
    """Literal ones, which the official engine cannot write, with every kind of tokenizer."""
    tokenizer = tokenizer_of(kind)
    compiler = ConstraintCompiler(tokenizer, [END])
    assert write(compiler, tokenizer, Regex("New York é 日本 😀\n")) == "New York é 日本 😀\n"
    assert write(compiler, tokenizer, Lark('start: "a b" /[0-9]{2}/ "é"'), 1)[:3] == "a b"
    for seed in range(3):
        person = json.loads(write(compiler, tokenizer, JsonSchema(PERSON), seed))
        assert person["city"] in ("New York", "é x")
        assert 0 <= person["age"] <= 99


@pytest.mark.parametrize("pattern", ["[a-z ]{5,9}x", r"\d{3}-\d{4}", "(yes|no)", "(?i)abc", r"a\.b\n?"])
def test_patterns(processor: TextProcessor, pattern: str) -> None:
    """The whole reply matches."""
    for seed in range(3):
        constraint, chance, ids = processor.constraint(Regex(pattern)), random.Random(seed), list[int]()
        while END not in (tokens := allowed(constraint.mask())):
            ids.append(chance.choice(tokens))
            constraint.accept(ids[-1])
        assert re.fullmatch(pattern, processor.decode(ids))


def test_control_tokens_are_no_text(processor: TextProcessor) -> None:
    """A pattern that spells one is written in letters; the token itself is never allowed."""
    constraint, ids = processor.constraint(Regex(r"<\|turn>x")), list[int]()
    while END not in (tokens := allowed(constraint.mask())):
        assert processor.encode("<|turn>")[0] not in tokens
        ids.append(tokens[0])
        constraint.accept(ids[-1])
    assert processor.decode(ids) == "<|turn>x"


def test_two_replies_are_apart(processor: TextProcessor) -> None:
    """Each has its own state."""
    first, second = processor.constraint(Regex("ab")), processor.constraint(Regex("ab"))
    before = second.mask()
    first.accept(allowed(first.mask())[0])
    assert second.mask() == before != first.mask()


def test_as_long_as_the_logits(processor: TextProcessor) -> None:
    """A model may have more logits than its tokenizer has tokens; those are never allowed."""
    mask = processor.constraint(Regex("(?s:.*)"), vocabulary_size=5000).mask()
    assert len(mask) == 4 * -(-5000 // 32)
    assert max(allowed(mask)) < processor.vocabulary_size


def test_a_token_that_is_not_allowed(processor: TextProcessor) -> None:
    """Accepting it is an error, not a crash."""
    constraint = processor.constraint(Regex("a"))
    with pytest.raises(EngineError, match="does not fit") as caught:
        constraint.accept(processor.encode("b")[0])
    assert "\n" not in str(caught.value)


BAD: tuple[ResponseFormat, ...] = (
    Regex("("),
    Regex("(?=a)b"),
    Regex("\ud800"),
    JsonSchema({"type": "foo"}),
    JsonSchema({"type": "object", "unevaluatedProperties": False}),
    JsonSchema({"$ref": "http://localhost/schema"}),
    JsonSchema({"type": "string", "pattern": "("}),
    JsonSchema({"allOf": [{"type": "string"}, {"type": "integer"}]}),
    JsonSchema({"properties": {"a": object()}}),
    JsonSchema({"minimum": float("nan")}),
    Lark("# nothing"),
    Lark("start: missing"),
    Lark("x" * 2_000_000),
)


@pytest.mark.parametrize("wanted", BAD, ids=range(len(BAD)))
def test_what_is_not_understood(processor: TextProcessor, wanted: ResponseFormat) -> None:
    """It is refused before anything is generated."""
    with pytest.raises(OptionError, match="response_format"):
        processor.constraint(wanted)


LARGE: tuple[Any, ...] = (
    Regex("(" * 5000 + "a" + ")" * 5000),
    JsonSchema({"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(2000)}}),
    Lark("start: start"),
    Regex("(a{1,1000}){1,1000}"),
    Regex("a{1,100000000}"),
    Regex(r"\p{L}{1,5000}.{1,5000}x"),
    JsonSchema({"type": "array", "minItems": 10**9}),
    JsonSchema({"$ref": "#"}),
)


@pytest.mark.parametrize("wanted", LARGE, ids=range(len(LARGE)))
def test_what_is_large(processor: TextProcessor, wanted: ResponseFormat) -> None:
    """It works or is refused, and does not go on and on."""
    try:
        constraint = processor.constraint(wanted)
        for _ in range(5):
            constraint.accept(allowed(constraint.mask())[0])
    except OptionError as error:
        assert "response_format" in str(error)
        assert len(str(error)) < 1000
