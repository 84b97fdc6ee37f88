"""Which tokens may come next in a reply that has to have a form."""

from __future__ import annotations

from litertlm._engine.native.text import TextProcessor
from litertlm._engine.native.text.constraint import Constraint
from litertlm.options import TurnOptions

__all__ = ["Masking"]


class Masking:
    """Hands masks to a generation, and follows what it chooses.

    Args:
        constraint: Of the reply; None: any token may come, unless :meth:`force` says otherwise.
        vocabulary: Ids of the model's logits are below it; the tokenizer may know fewer.
    """

    def __init__(self, constraint: Constraint | None, vocabulary: int) -> None:
        self._constraint = constraint
        self._bytes = (vocabulary + 31) // 32 * 4
        self._forced: list[int] = []

    @classmethod
    def of(cls, text: TextProcessor, options: TurnOptions, vocabulary: int) -> Masking | None:
        """What a turn with these options needs; None: any token may come at any time."""
        if options.response_format is not None:
            return cls(text.constraint(options.response_format), vocabulary)
        return cls(None, vocabulary) if options.thinking_budget is not None else None

    def force(self, ids: list[int]) -> None:
        """The next tokens are these, unless others are being forced already."""
        self._forced = self._forced or list(ids)

    def mask(self) -> bytes:
        """Bit ``t % 8`` of byte ``t // 8`` for each token that may come next, in whole 32-bit words."""
        if self._forced:
            mask = bytearray(self._bytes)
            mask[self._forced[0] // 8] = 1 << self._forced[0] % 8
            return bytes(mask)
        if self._constraint is None:
            return b"\xff" * self._bytes
        return self._constraint.mask()[: self._bytes].ljust(self._bytes, b"\0")

    def accept(self, token: int) -> None:
        """Go on: such a token was chosen."""
        if self._forced:
            del self._forced[0]
        elif self._constraint is not None:
            self._constraint.accept(token)
