"""Which sampler a turn has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from litertlm.options import Sampler

__all__ = ["effective_sampler"]


def effective_sampler(*asked: Sampler) -> Sampler:
    """Each field from the first that sets it, the last setting all; all greedy ones are equal."""

    def first(name: str) -> Any:
        return next(value for sampler in asked if (value := getattr(sampler, name)) is not None)

    if first("temperature") == 0 or first("top_k") == 1:
        # Greedy is top-k 1: at temperature 0 the engine would divide by it.
        return Sampler(temperature=1.0, top_k=1, top_p=1.0, min_p=0.0, seed=0)
    return Sampler(**{field.name: first(field.name) for field in fields(Sampler)})
