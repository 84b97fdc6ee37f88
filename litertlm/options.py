"""Settings, validated once where they enter.

``None`` always means "not said": the model's or litertlm's default, never an accidental zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from litertlm.errors import OptionError

__all__ = [
    "Backend",
    "CacheType",
    "EncoderBackend",
    "EngineChoice",
    "JsonSchema",
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
MOST_SUPPRESSED = 10_000
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
        seed: 0..2**31-1; the same seed gives the same text in a new chat.

    Raises:
        OptionError: A value is out of range or not a number.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.0, math.inf)
        check_integer("top_k", self.top_k, 1, MAX_INT32)
        check_number("top_p", self.top_p, 0.0, 1.0)
        check_integer("seed", self.seed, 0, MAX_SEED)


FALLBACK_SAMPLER = Sampler(temperature=1.0, top_k=64, top_p=0.95, seed=0)
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


ResponseFormat: TypeAlias = Regex | JsonSchema


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
        thinking: Whether the model may think first.
        thinking_budget: Thinking stops after this many tokens, >= 1.
        visual_token_budget: Most tokens that one image of this turn takes, >= 1.
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
    thinking: bool | None = None
    thinking_budget: int | None = None
    visual_token_budget: int | None = None
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
        if len(self.suppressed_tokens) > MOST_SUPPRESSED:
            raise OptionError(f"suppressed_tokens holds more than {MOST_SUPPRESSED} tokens")
        for token in self.suppressed_tokens:
            check_integer("every one of suppressed_tokens", token, 0, MAX_INT32)
        if len(self.stop) > MOST_STOPS:
            raise OptionError(f"stop holds more than {MOST_STOPS} texts")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise OptionError("stop holds texts, none of them empty")

    @property
    def wanted(self) -> frozenset[str]:
        """The names of the fields that ask for something."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)


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
