"""How full a chat is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """How full a chat is, in tokens.

    Attributes:
        limit: Context length, None when the model does not say.
        used: In the KV cache.
    """

    limit: int | None
    used: int

    @property
    def remaining(self) -> int | None:
        """Free tokens, None when the limit is unknown."""
        return None if self.limit is None else max(0, self.limit - self.used)
