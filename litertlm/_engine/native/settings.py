"""How tokens are chosen, as the C engine takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litertlm._engine.lib import ffi
from litertlm.errors import OptionError
from litertlm.options import Sampler, TurnOptions

__all__ = ["COMPLETION", "HONOURED", "Decoding", "require_tokens"]

HONOURED = frozenset(
    {
        "max_output_tokens",
        "timeout",
        "sampler",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "no_repeat_ngram",
        "suppressed_tokens",
        "logit_bias",
        "thinking",
        "thinking_budget",
        "logprobs",
        "top_logprobs",
        "response_format",
        "Lark",
        "stop",
        "tools",
    }
)
"""Names of the options of a turn that this engine honours."""

COMPLETION = HONOURED - {"thinking", "thinking_budget", "response_format", "Lark", "tools"}
"""What a continued text honours."""


def require_tokens(options: TurnOptions, vocabulary: int) -> None:
    """Raises OptionError if options name a token that the model does not have."""
    named = {
        "suppressed_tokens": options.suppressed_tokens,
        "logit_bias": tuple(token for token, _ in options.logit_bias),
    }
    for name, tokens in named.items():
        if tokens and max(tokens) >= vocabulary:
            raise OptionError(
                f"{name} holds {max(tokens)}, and the model's tokens are from 0 to {vocabulary - 1}"
            )


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of one generation, every one decided.

    Attributes:
        max_tokens: 0: prefill only; None: until a stop token or the end of the context.
        sampler: Every field set.
        options: Of the turn; penalties, biases, suppressed tokens and log-probabilities are taken from it.
        stop_tokens: Ids that end it.
        suppressed: Ids that are never chosen, beside those of the options.
        keep_logits: Whether the logits of the latest token can be had.
        masked: Whether each token waits for a mask.
        score_from: Deliver the prompt's own tokens from this index on, scored; 0: do not.
        shared: So many tokens at the beginning are kept for other sequences that will begin so.
    """

    max_tokens: int | None
    sampler: Sampler
    options: TurnOptions = TurnOptions()
    stop_tokens: tuple[int, ...] = ()
    suppressed: tuple[int, ...] = ()
    keep_logits: bool = False
    masked: bool = False
    score_from: int = 0
    shared: int = 0

    @contextmanager
    def native(self) -> Iterator[Any]:
        """The C struct; what it points to lives as long as the block."""
        options, sampler = self.options, self.sampler
        suppressed = (*options.suppressed_tokens, *self.suppressed)
        stops, never = ffi.new("int32_t[]", self.stop_tokens), ffi.new("int32_t[]", suppressed)
        biased = ffi.new("int32_t[]", [token for token, _ in options.logit_bias])
        biases = ffi.new("float[]", [bias for _, bias in options.logit_bias])
        yield ffi.new(
            "ltlm_generation_options *",
            {
                "max_tokens": -1 if self.max_tokens is None else self.max_tokens,
                "stop_tokens": stops,
                "stop_count": len(self.stop_tokens),
                "temperature": sampler.temperature,
                "top_k": sampler.top_k,
                # Nothing is likelier than the likeliest token: top_p 0 takes that.
                "top_p": sampler.top_p or 1e-9,
                "min_p": sampler.min_p,
                "seed": sampler.seed,
                "repetition_penalty": options.repetition_penalty or 1.0,
                "presence_penalty": options.presence_penalty or 0.0,
                "frequency_penalty": options.frequency_penalty or 0.0,
                "no_repeat_ngram": options.no_repeat_ngram or 0,
                "suppressed": never,
                "suppressed_count": len(suppressed),
                "bias_tokens": biased,
                "biases": biases,
                "bias_count": len(options.logit_bias),
                "log_probabilities": options.logprobs or self.score_from > 0,
                "alternatives": options.top_logprobs,
                "keep_logits": self.keep_logits,
                "masked": self.masked,
                "score_from": self.score_from,
                "shared": self.shared,
            },
        )
