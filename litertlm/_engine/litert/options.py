"""The options of one turn, as the library takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litertlm._engine.lib import Library, ffi, lib, native_text
from litertlm._engine.litert import wire
from litertlm.errors import MessageError, OptionError
from litertlm.options import JsonSchema, Regex, TurnOptions

__all__ = ["COMPLETION", "check_options", "honoured", "native_turn_options"]

ALWAYS = ("max_output_tokens", "timeout", "sampler", "thinking", "stop", "tools")
COMPLETION = frozenset({"max_output_tokens", "timeout", "sampler", "stop"})
"""What a continued text honours."""

NO_CONSTRAINT, REGEX, JSON_SCHEMA = 0, 1, 2


def honoured(library: Library, image_tokens: int) -> frozenset[str]:
    """Names of the options that this library honours, for a model whose images take so many tokens."""
    groups = {
        lib.LTLM_CAN_PENALIZE: (
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
            "no_repeat_ngram",
            "suppressed_tokens",
        ),
        lib.LTLM_CAN_THINK: ("thinking_budget",),
        lib.LTLM_CAN_VISUAL_BUDGET: ("visual_token_budget",) if image_tokens else (),
        lib.LTLM_CAN_CONSTRAIN: ("response_format",),
    }
    optional = [name for bit, names in groups.items() if library.can(bit) for name in names]
    return frozenset(ALWAYS) | frozenset(optional)


def check_options(options: TurnOptions, *, image_tokens: int, thinking: bool | None) -> None:
    """Refuse what the engine would refuse, in our words.

    Args:
        options: Of the turn.
        image_tokens: Most tokens that one image takes; 0: the model takes no images.
        thinking: Whether the model thinks in this turn; None: as its template says.

    Raises:
        OptionError: A value is beyond what this model can do.
    """
    budget = options.visual_token_budget
    if budget is not None and not image_tokens:
        raise OptionError("visual_token_budget needs a model that takes images")
    if budget is not None and budget > image_tokens:
        raise OptionError(
            f"visual_token_budget must be from 1 to {image_tokens} with this model, not {budget}"
        )
    if options.thinking_budget is not None and not thinking:
        raise OptionError("thinking_budget needs thinking to be on", hint="Pass thinking=True with it.")


@contextmanager
def native_turn_options(options: TurnOptions, most_tokens: int | None) -> Iterator[Any]:
    """The C options struct; what it points to lives as long as the block.

    Args:
        options: Of the turn.
        most_tokens: What ``max_output_tokens`` is taken for.
    """
    suppressed = ffi.new("int32_t[]", list(options.suppressed_tokens))
    kind, text = _constraint(options)
    constraint = ffi.new("char[]", native_text(text, "response format"))
    yield ffi.new(
        "ltlm_turn_options *",
        {
            "max_output_tokens": most_tokens or 0,
            "visual_token_budget": options.visual_token_budget or 0,
            "constraint_type": kind,
            "constraint": constraint,
            "repetition_penalty": options.repetition_penalty or 0.0,
            "presence_penalty": options.presence_penalty or 0.0,
            "frequency_penalty": options.frequency_penalty or 0.0,
            "no_repeat_ngram": options.no_repeat_ngram or 0,
            "suppressed": suppressed,
            "suppressed_count": len(options.suppressed_tokens),
            # Whether the model thinks is the conversation's affair; a budget alone needs it said again.
            "thinking": 1 if options.thinking_budget else 0,
            "thinking_budget": options.thinking_budget or 0,
        },
    )


def _constraint(options: TurnOptions) -> tuple[int, str]:
    wanted = options.response_format
    if wanted is None:
        return NO_CONSTRAINT, ""
    if isinstance(wanted, Regex):
        return REGEX, wanted.pattern
    assert isinstance(wanted, JsonSchema)  # a Lark grammar was refused
    try:
        return JSON_SCHEMA, wire.dump(dict(wanted.schema))
    except MessageError as error:
        raise OptionError(f"The schema of response_format is no JSON: {error.message}") from None
