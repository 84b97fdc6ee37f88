"""A table of features: a case for every row, named after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["Table"]

Case = Callable[..., None]


class Table:
    """Cases in the order in which they are written."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def row(self, name: str) -> Callable[[Case], Case]:
        """The decorated function is the case of that row."""

        def add(case: Case) -> Case:
            assert name not in self._cases, f"There are two rows {name!r}"
            self._cases[name] = case
            return case

        return add

    @property
    def each(self) -> Any:
        """Parametrizes a test by the cases; stands after all of them."""
        assert self._cases, "There are no rows yet: the test stands after its cases"
        cases = [pytest.param(case, id=name) for name, case in self._cases.items()]
        return pytest.mark.parametrize("case", cases)
