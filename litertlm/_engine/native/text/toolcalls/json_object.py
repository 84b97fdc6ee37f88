"""The syntax of Qwen: ``{"name": NAME, "arguments": {...}}``, or a list of such objects."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from litertlm._engine.native.text.toolcalls.syntax import Calls, MalformedCallError

__all__ = ["read"]


def read(code: str) -> Calls:
    """See :data:`~litertlm._engine.native.text.toolcalls.syntax.Reader`."""
    try:
        root = json.loads(code, parse_constant=_no_constant)
        # Escapes can spell half characters, and digits numbers without end.
        json.dumps(root, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise MalformedCallError("the arguments are nested too deep") from None
    except ValueError as error:
        raise MalformedCallError(f"it is not JSON: {error}") from None
    return [_call(item) for item in (root if isinstance(root, list) else [root]) if isinstance(item, dict)]


def _call(item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, arguments = item.get("name"), item.get("arguments", item.get("args", {}))
    if not isinstance(name, str) or not name:
        raise MalformedCallError("the tool's name is missing")
    if not isinstance(arguments, dict):
        raise MalformedCallError("the arguments are not an object")
    return name, arguments


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON value")
