"""How likely a text is to follow another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from litertlm._engine.native.generation import Generation
from litertlm._engine.native.settings import Decoding
from litertlm.errors import ContextOverflow, MessageError
from litertlm.messages import Score

if TYPE_CHECKING:
    from litertlm._engine.native.engine import NativeEngine

__all__ = ["score"]

# Seconds between two looks whether the score is still wanted.
PATIENCE = 0.02


def score(engine: NativeEngine, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
    """Natural-log probabilities of the tokens of ``text`` after those of ``prompt``.

    Args:
        engine: Which computes them.
        prompt: What stands before.
        text: What is scored.
        check: Called now and then; what it raises ends the waiting, and the computation.

    Raises:
        MessageError: One of them is empty, or no text.
        ContextOverflow: They do not fit the context.
    """
    for what, value in (("prompt", prompt), ("text", text)):
        if not isinstance(value, str) or not value:
            raise MessageError(f"The {what} is no text, or empty")
    before = [*engine.start_tokens, *engine.tokenize(prompt)]
    target = engine.tokenize(text)
    if len(before) + len(target) > engine.max_context:
        raise ContextOverflow(0, len(before) + len(target), engine.max_context)
    sequence = engine.new_sequence()
    generation = Generation(sequence)
    try:
        decoding = Decoding(0, engine.sampler_of(), score_from=len(before))
        generation.start(before + target, decoding)
        scores: list[float] = []
        while not generation.ended:
            scores += generation.take(PATIENCE).log_probabilities
            if check is not None:
                check()
        if generation.failure is not None:
            raise generation.failure
        return Score(sum(scores), tuple(scores))
    finally:
        generation.close()
        sequence.close()
