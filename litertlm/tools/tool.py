"""The declaration of a tool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from litertlm.errors import OptionError

__all__ = ["Tool"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call; the application runs it and sends the result back.

    Args:
        name: Letters, digits, ``_``, ``.`` and ``-``, not starting with a digit; at most 64.
        description: What it does, for the model.
        parameters: A JSON schema of type ``object``.

    Raises:
        OptionError: The name or the schema cannot be declared.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise OptionError(f"{self.name!r} is not a tool name", hint="Use letters, digits, '_', '.', '-'.")
        if not isinstance(self.parameters, Mapping) or self.parameters.get("type") != "object":
            raise OptionError(
                f"The parameters of tool {self.name} are not a JSON schema of type object",
                hint='Give {"type": "object", "properties": {...}}.',
            )
