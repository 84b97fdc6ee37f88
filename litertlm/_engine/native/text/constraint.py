"""Replies in a given form: which tokens may come next."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from litertlm.errors import EngineError, OptionError
from litertlm.options import JsonSchema, Lark, Regex, ResponseFormat

if TYPE_CHECKING:
    import llguidance

    from litertlm._engine.native.text.tokenizer import Tokenizer

__all__ = ["Constraint", "ConstraintCompiler"]

_MARK = "\x02"  # joins with nothing
_TOO_MUCH = "; max is "  # llguidance's words for a limit
_MOST_TEXT = 1 << 20
"""Length of a grammar in characters."""


class ConstraintCompiler:
    """Makes constraints for one model; what they share is made with the first.

    Args:
        tokenizer: The model's.
        end_tokens: Ids that end a reply, at least one.

    Threads: any.
    """

    def __init__(self, tokenizer: Tokenizer, end_tokens: Sequence[int]) -> None:
        import llguidance

        vocabulary = _Vocabulary(tokenizer, end_tokens)
        self._vocabulary = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(vocabulary), eos_token=list(end_tokens)
        )
        vocabulary.longest_tokens = self._vocabulary.greedy_tokenize

    def compile(self, response_format: ResponseFormat, vocabulary_size: int) -> Constraint:
        """The constraint of one reply.

        Args:
            response_format: What it must look like.
            vocabulary_size: How many logits there are, at least ``tokenizer.size``.

        Raises:
            OptionError: The format is not understood, or too large.
        """
        import llguidance

        grammar = _grammar(response_format)
        if len(grammar) > _MOST_TEXT:
            raise OptionError(f"response_format is longer than {_MOST_TEXT} characters")
        matcher = llguidance.LLMatcher(self._vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise _refused(matcher)
        return Constraint(matcher, vocabulary_size)


class Constraint:
    """The state of one reply; for one thread at a time."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._bytes = 4 * -(-vocabulary_size // 32)

    def mask(self) -> bytes:
        """Which tokens may come next: token ``t`` is bit ``t % 8`` of byte ``t // 8``, 1 for yes.

        As long as the vocabulary, rounded up to 32 bits. The tokens that end a reply are among them where it
        may end, and are the only ones when it must.

        Raises:
            OptionError: The format takes more work than is allowed.
        """
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise _refused(self._matcher)
        return mask[: self._bytes].ljust(self._bytes, b"\0")

    def accept(self, token: int) -> None:
        """A token was chosen.

        Raises:
            OptionError: The format takes more work than is allowed.
            EngineError: The token was not among those that may come next.
        """
        if self._matcher.consume_token(token):
            return
        if _TOO_MUCH in self._matcher.get_error():
            raise _refused(self._matcher)
        raise EngineError(f"Token {token} does not fit response_format: {_reason(self._matcher)}")

    @property
    def is_finished(self) -> bool:
        """Whether nothing but the end may come."""
        return self._matcher.is_stopped()

    @property
    def is_satisfied(self) -> bool:
        """Whether the reply may end here."""
        return self._matcher.is_accepting()


class _Vocabulary:
    """What llguidance needs to know of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer, end_tokens: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.size)]
        self._control = tokenizer.special_ids.union(end_tokens)
        self.special_token_ids = sorted(self._control)
        self.eos_token_id = end_tokens[0]
        self.bos_token_id = None
        self.longest_tokens: Callable[[str], list[int]] | None = None

    def __call__(self, text: str | bytes) -> list[int]:
        """Ids that stand for exactly this text, as it would go on from another."""
        text = text.decode() if isinstance(text, bytes) else text
        # Some tokenizers put a blank before a text; what follows a mark is as in the middle of one.
        mark = _MARK if self._tokenizer.leading_blanks else ""
        ids = self._tokenizer.encode(mark + text)[len(self._tokenizer.encode(mark)) :]
        exact = b"".join(self.tokens[token] for token in ids) == text.encode()
        # Others replace or drop characters, which the reply may need to have. And no text is a control token.
        if (exact and not self._control.intersection(ids)) or self.longest_tokens is None:
            return ids
        return self.longest_tokens(text)


def _grammar(response_format: ResponseFormat) -> str:
    import llguidance

    try:
        match response_format:
            case Regex(pattern):
                return llguidance.LLMatcher.grammar_from_regex(pattern)
            case Lark(grammar):
                return llguidance.LLMatcher.grammar_from_lark(grammar)
            case JsonSchema(schema):
                text = json.dumps(dict(schema), ensure_ascii=False, allow_nan=False)
                return llguidance.LLMatcher.grammar_from_json_schema(text)
    except UnicodeEncodeError as error:
        raise OptionError(f"response_format is not valid Unicode: {error.reason}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"The schema of response_format is no JSON: {error}") from None


def _refused(matcher: llguidance.LLMatcher) -> OptionError:
    return OptionError(f"The engine cannot work with this response_format: {_reason(matcher)}")


def _reason(matcher: llguidance.LLMatcher) -> str:
    """What is wrong, without the state of the parser that follows it."""
    lines: list[str] = matcher.get_error().strip().split("\n<state>")[0].splitlines()
    return " ".join(line.strip()[:200] for line in lines[:4])
