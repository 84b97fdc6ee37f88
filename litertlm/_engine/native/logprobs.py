"""How likely the model found the tokens that have come."""

from __future__ import annotations

from litertlm._engine.native.generation import Taken
from litertlm._engine.native.text import TextProcessor
from litertlm.messages import TokenLogprob

__all__ = ["logprobs_of"]


def logprobs_of(taken: Taken, text: TextProcessor) -> list[TokenLogprob]:
    """Each token that was taken; none if log-probabilities were not asked for.

    Args:
        taken: From the generation.
        text: Knows what tokens stand for.
    """
    others = [
        tuple(TokenLogprob(token, text.token_bytes(token), value) for token, value in likeliest)
        for likeliest in taken.alternatives
    ]
    return [
        TokenLogprob(token, text.token_bytes(token), value, others[place] if others else ())
        for place, (token, value) in enumerate(zip(taken.ids, taken.log_probabilities, strict=False))
    ]
