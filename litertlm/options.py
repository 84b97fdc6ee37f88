"""Settings, validated once where they enter.

``None`` always means "not said": the model's or litertlm's default, never an accidental zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from litertlm.errors import OptionError

__all__ = ["Backend", "EncoderBackend", "Sampler", "TurnOptions", "sampler_from"]

Backend: TypeAlias = Literal["cpu", "gpu"]
EncoderBackend: TypeAlias = Literal["auto", "cpu", "gpu", "off"]
"""Where an encoder runs; ``"auto"``: on the client's backend if the model has it, else nowhere."""

MAX_SEED = 2**31 - 1


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
        check_integer("top_k", self.top_k, 1, 2**31 - 1)
        check_number("top_p", self.top_p, 0.0, 1.0)
        check_integer("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """Options of one turn.

    Args:
        max_output_tokens: Stop after this many tokens, >= 1.
        timeout: Seconds for the whole turn, > 0.

    Raises:
        OptionError: A value is out of range or not a number.
    """

    max_output_tokens: int | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        check_integer("max_output_tokens", self.max_output_tokens, 1, 2**31 - 1)
        check_number("timeout", self.timeout, 0.0, math.inf)
        if self.timeout == 0:
            raise OptionError("timeout must be more than 0 seconds")


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
