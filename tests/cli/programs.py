"""What the tests of the command line work with; the fixtures of these types are in ``conftest.py``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .terminal import Terminal


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str


RunCommand: TypeAlias = Callable[..., Result]
StartProcess: TypeAlias = "Callable[..., subprocess.Popen[bytes]]"
OpenTerminal: TypeAlias = Callable[..., Terminal]
