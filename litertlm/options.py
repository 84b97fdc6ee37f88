"""Settings, validated once where they enter.

``None`` always means "not said": the model's or litertlm's default, never an accidental zero.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from litertlm.errors import OptionError

__all__ = [
    "Backend",
    "CacheType",
    "EncoderBackend",
    "EngineChoice",
    "JsonSchema",
    "Lark",
    "Regex",
    "ResponseFormat",
    "Sampler",
    "TurnOptions",
    "WeightPlace",
    "sampler_from",
]

Backend: TypeAlias = Literal["cpu", "gpu"]
EncoderBackend: TypeAlias = Literal["auto", "cpu", "gpu", "off"]
"""Where an encoder runs; ``"auto"``: on the client's backend if the model has it, else nowhere."""

EngineChoice: TypeAlias = Literal["auto", "native", "litert"]
"""Which engine runs a model; ``"auto"``: our own wherever it can."""
WeightPlace: TypeAlias = Literal["auto", "mapped", "copied"]
CacheType: TypeAlias = Literal["float16", "float32"]

MAX_INT32 = 2**31 - 1
MAX_SEED = MAX_INT32
MOST_TOKENS = 10_000
"""Longest list of tokens in an option."""
MOST_BIAS = 100.0
MOST_ALTERNATIVES = 20
MOST_STOPS = 16


def check_integer(name: str, value: object, low: int, high: int) -> None:
    """Raises OptionError unless ``value`` is None or an integer in ``low``..``high``."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"{name} must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise OptionError(f"{name} must be from {low} to {high}, not {value}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raises OptionError unless ``value`` is None or a number in ``low``..``high``; NaN never is."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"{name} must be a number, not {value!r}")
    if not (math.isfinite(value) and low <= value <= high):
        limit = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise OptionError(f"{name} must be {limit}, not {value}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises OptionError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the next token is chosen. Fields left out keep the model's own defaults.

    Args:
        temperature: >= 0; 0 always takes the likeliest token (greedy).
        top_k: Choose among this many likeliest tokens, >= 1; 1 is greedy.
        top_p: Choose among the likeliest tokens that together have this probability, 0..1.
        min_p: Choose among tokens that are at least this many times as likely as the likeliest, both at this
            temperature, 0..1; 0 does nothing. On our own engine only.
        seed: 0..2**31-1; the same seed gives the same text in a new chat.

    Raises:
        OptionError: A value is out of range or not a number.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.0, math.inf)
        check_integer("top_k", self.top_k, 1, MAX_INT32)
        check_number("top_p", self.top_p, 0.0, 1.0)
        check_number("min_p", self.min_p, 0.0, 1.0)
        check_integer("seed", self.seed, 0, MAX_SEED)


FALLBACK_SAMPLER = Sampler(temperature=1.0, top_k=64, top_p=0.95, min_p=0.0, seed=0)
"""Sampling of a model that does not say how it wants to be sampled: what its family's makers recommend."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A reply must match this regular expression as a whole; the engine compiles it, in its own dialect.

    Raises:
        OptionError: It is empty, or no text.
    """

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise OptionError("A regular expression is a text, and not empty")


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A reply must be JSON that fits this schema.

    Raises:
        OptionError: It is not a mapping.
    """

    schema: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.schema, Mapping):
            raise OptionError(f"A JSON schema is a dict, not {type(self.schema).__name__}")


@dataclass(frozen=True, slots=True)
class Lark:
    """A reply must match this grammar as a whole, in llguidance's variant of Lark; on our own engine only.

    Raises:
        OptionError: It is empty, or no text.
    """

    grammar: str

    def __post_init__(self) -> None:
        if not isinstance(self.grammar, str) or not self.grammar:
            raise OptionError("A Lark grammar is a text, and not empty")


ResponseFormat: TypeAlias = Regex | JsonSchema | Lark


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """What an engine is told about one turn. Every field left out keeps the conversation's setting.

    Args:
        max_output_tokens: Stop after this many tokens, >= 1.
        timeout: Seconds for the whole turn, > 0.
        sampler: How tokens are chosen.
        repetition_penalty: Divides the likelihood of tokens that occurred, > 0..10; 1 does nothing.
        presence_penalty: Subtracted from tokens that occurred, -2..2.
        frequency_penalty: Subtracted for every time that a token occurred, -2..2.
        no_repeat_ngram: No sequence of this many tokens comes twice, >= 1.
        suppressed_tokens: Token ids that are never chosen, at most 10,000.
        logit_bias: Token ids and what is added to their logits before sampling, -100..100 as in OpenAI's API,
            at most 10,000. A logit is a logarithm: 1 makes a token 2.7 times as likely beside the others, and
            with most models 100 forces it and -100 forbids it. ``suppressed_tokens`` forbids for certain. On
            our own engine only.
        thinking: Whether the model may think first.
        thinking_budget: Thinking stops after this many tokens, >= 1.
        visual_token_budget: Most tokens that one image of this turn takes, >= 1.
        logprobs: Whether log-probabilities are told with the reply. On our own engine only.
        top_logprobs: Those of this many of the likeliest tokens beside each, 0..20; needs ``logprobs``.
        response_format: What the reply must look like.
        stop: The reply ends before the first of these texts, at most 16.
        tools: False: the model is not shown its tools in this turn.

    Raises:
        OptionError: A value is out of range or of the wrong type.
    """

    max_output_tokens: int | None = None
    timeout: float | None = None
    sampler: Sampler = Sampler()
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    no_repeat_ngram: int | None = None
    suppressed_tokens: tuple[int, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    thinking: bool | None = None
    thinking_budget: int | None = None
    visual_token_budget: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    response_format: ResponseFormat | None = None
    stop: tuple[str, ...] = ()
    tools: bool = True

    def __post_init__(self) -> None:
        check_integer("max_output_tokens", self.max_output_tokens, 1, MAX_INT32)
        check_number("timeout", self.timeout, 0.0, math.inf)
        if self.timeout == 0:
            raise OptionError("timeout must be more than 0 seconds")
        check_number("repetition_penalty", self.repetition_penalty, 0.01, 10.0)
        check_number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        check_number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        check_integer("no_repeat_ngram", self.no_repeat_ngram, 1, MAX_INT32)
        check_integer("thinking_budget", self.thinking_budget, 1, MAX_INT32)
        check_integer("visual_token_budget", self.visual_token_budget, 1, MAX_INT32)
        check_integer("top_logprobs", self.top_logprobs, 0, MOST_ALTERNATIVES)
        if self.top_logprobs and not self.logprobs:
            raise OptionError("top_logprobs needs logprobs to be on", hint="Pass logprobs=True with it.")
        _check_tokens("suppressed_tokens", self.suppressed_tokens)
        _check_tokens("logit_bias", [token for token, _ in self.logit_bias])
        for token, bias in self.logit_bias:
            if bias is None:
                raise OptionError(f"logit_bias of token {token} must be a number, not None")
            check_number(f"logit_bias of token {token}", bias, -MOST_BIAS, MOST_BIAS)
        if len(self.stop) > MOST_STOPS:
            raise OptionError(f"stop holds more than {MOST_STOPS} texts")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise OptionError("stop holds texts, none of them empty")

    @property
    def wanted(self) -> frozenset[str]:
        """The names of the fields that ask for something, and of what not every engine knows in them."""
        named = {field.name for field in fields(self) if getattr(self, field.name) != field.default}
        finer = {"min_p": bool(self.sampler.min_p), "Lark": isinstance(self.response_format, Lark)}
        return frozenset(named).union(name for name, is_wanted in finer.items() if is_wanted)


OPTION_NAMES = frozenset(field.name for field in fields(TurnOptions)) | {"min_p", "Lark"}
"""All that :attr:`TurnOptions.wanted` may name."""


def _check_tokens(name: str, tokens: Collection[int]) -> None:
    """Raises OptionError unless they are token ids, and not too many."""
    if len(tokens) > MOST_TOKENS:
        raise OptionError(f"{name} holds more than {MOST_TOKENS} tokens")
    for token in tokens:
        if token is None:
            raise OptionError(f"Every token of {name} must be a whole number, not None")
        check_integer(f"Every token of {name}", token, 0, MAX_INT32)


def sampler_from(value: Sampler | Mapping[str, Any] | None) -> Sampler:
    """The sampler that a user's ``sampler=`` argument means.

    Raises:
        OptionError: Unknown key, wrong type or value out of range.
    """
    if value is None:
        return Sampler()
    if isinstance(value, Sampler):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(f"sampler must be a Sampler or a dict, not {type(value).__name__}")
    known = [field.name for field in fields(Sampler)]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise OptionError(f"sampler has no setting {unknown[0]!r}", hint=f"It has {', '.join(known)}.")
    return Sampler(**value)
