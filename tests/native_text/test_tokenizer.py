"""Token ids and texts equal the official engine's, and pieces add up to the whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litertlm._engine.native.text import Detokenizer, TextProcessor
from litertlm._engine.native.text.tokenizer import HuggingFaceTokenizer, Tokenizer, read_tokenizer
from litertlm.errors import MessageError, ModelFileError

from . import tokenizers_made
from .conftest import PLAIN, Sides

TEXTS = (
    "",
    "a",
    " a",
    "  a b  c ",
    "Hello, world!",
    "\n",
    "\n\n\na\n",
    "\t\ttab\r\n",
    "é ü ñ e\u0301",
    "日本語テキスト",
    "😀👩‍👩‍👧‍👦!",
    "x = 1.5e10; {}[]",
    "\u00a0\u200b\u2060",
    "<bos><|turn>user\nHi<turn|>\n",
    "a<pad>b<unk><eos>",
    "<start_of_turn>user\nx<end_of_turn><control>",
    "<|im_start|>a<|im_end|><tool_call>{}</tool_call>",
    "▁a▁<0x41>",
    "\x01\x7f",
    "ab" * 200,
)
KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "byte level": (tokenizers_made.byte_level, "hf_tokenizer"),
    "prefixed": (tokenizers_made.prefixed, "hf_tokenizer"),
    "plain pieces": (lambda: tokenizers_made.sentence_piece(True), "sp_tokenizer"),
    "tidied pieces": (lambda: tokenizers_made.sentence_piece(False), "sp_tokenizer"),
}


def assert_equal_tokens(sides: Sides) -> None:
    """Both sides turn the texts into the same ids, and these into the same text."""
    for text in TEXTS:
        ids = sides.official.tokenize(text)
        assert sides.ours.encode(text) == ids, text
        assert sides.ours.decode(ids) == sides.official.detokenize(ids), text


def test_the_models_own_tokenizer(sides: Sides) -> None:
    """Blanks, lines, control tokens, other scripts, emoji."""
    assert_equal_tokens(sides)


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds(sides_of: Callable[..., Sides], kind: str) -> None:
    """Byte letters, bytes of their own, and SentencePiece."""
    data, section = KINDS[kind][0](), KINDS[kind][1]
    metadata = {
        "llm_model_type": {"generic_model": {}},
        "jinja_prompt_template": PLAIN,
        "start_token": {"token_ids": {"ids": [1]}},
    }
    assert_equal_tokens(sides_of(kind, metadata, data, section))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-2, 2100), max_size=30))
def test_pieces_add_up_to_the_whole(processor: TextProcessor, ids: list[int]) -> None:
    """Whatever the model writes, also bytes that are no text and ids that are none."""
    detokenizer = processor.detokenizer()
    pieces = [detokenizer.feed(token) for token in ids]
    assert "".join(pieces) + detokenizer.flush() == processor.decode(ids)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_texts_survive(processor: TextProcessor, text: str) -> None:
    """What is encoded is decoded to the same text, one token at a time, and never half a character."""
    detokenizer = processor.detokenizer()
    pieces = [detokenizer.feed(token) for token in processor.encode(text)]
    expected = text.replace("▁", " ")  # this vocabulary has no other way to write a blank
    assert "".join(pieces) == expected
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_a_character_comes_whole(kind: str) -> None:
    """Its bytes are held back until the last one is there."""
    name = "huggingface" if KINDS[kind][1] == "hf_tokenizer" else "sentencepiece"
    tokenizer = read_tokenizer(name, KINDS[kind][0]())
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.feed(token) for token in tokenizer.encode("a 語 b")]
    assert "".join(pieces) == "a 語 b"
    assert len(pieces) > len([piece for piece in pieces if piece])


def test_half_a_character_at_the_end(processor: TextProcessor) -> None:
    """It is shown as such when nothing follows."""
    detokenizer = processor.detokenizer()
    ids = processor.encode("語")
    assert [detokenizer.feed(token) for token in ids[:-1]] == [""] * (len(ids) - 1)
    assert detokenizer.flush() == "\ufffd"


def test_only_the_first_blank_is_taken_away() -> None:
    """Of tokenizers that put one before every text."""
    tokenizer: Tokenizer = HuggingFaceTokenizer(tokenizers_made.prefixed())
    assert Detokenizer(tokenizer).decode(tokenizer.encode("a b")) == "a b"
    assert Detokenizer(tokenizer).decode(tokenizer.encode("  a")) == "  a"


def test_start_and_stop_tokens(processor: TextProcessor) -> None:
    """Texts of the metadata become ids."""
    assert processor.start_token == 2
    assert processor.decode([2]) == "<bos>"
    assert (1,) in processor.stop_tokens
    assert processor.decode(processor.stop_tokens[-1]).endswith("<turn|>\n")


def test_what_is_no_text(processor: TextProcessor) -> None:
    """Half of a surrogate pair has no bytes."""
    with pytest.raises(MessageError, match="Unicode"):
        processor.encode("\ud800")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("huggingface", b"{}"),
        ("huggingface", b"\xff"),
        ("huggingface", tokenizers_made.undecodable()),
        ("sentencepiece", b"\x0a\x05abc"),
        ("sentencepiece", b""),
    ],
)
def test_what_is_no_tokenizer(kind: str, data: bytes) -> None:
    """It is refused by name, so that another engine can be tried."""
    with pytest.raises(ModelFileError, match="tokenizer"):
        read_tokenizer(kind, data)
