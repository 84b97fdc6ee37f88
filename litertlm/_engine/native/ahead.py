"""Prefill in the background, before there is a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from litertlm._engine.native.generation import Generation
from litertlm._engine.native.settings import Decoding

if TYPE_CHECKING:
    from litertlm._engine.native.engine import NativeEngine

__all__ = ["Ahead"]


class Ahead:
    """Tokens that are computed on a sequence of their own, for whichever sequence will begin with them.

    Args:
        engine: Which computes them.
        ids: From a conversation's beginning.

    Raises:
        EngineError: It cannot be begun.
    """

    def __init__(self, engine: NativeEngine, ids: Sequence[int]) -> None:
        self._sequence = engine.new_sequence()
        self._generation = Generation(self._sequence)
        kept = ids[: engine.max_context - 1]
        try:
            self._generation.start(kept, Decoding(0, engine.sampler_of(), shared=len(kept)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop it; what it has computed stays with whoever shares it by now."""
        self._generation.close()
        self._sequence.close()
