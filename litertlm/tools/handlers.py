"""Looking into the functions that answer tool calls."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from litertlm.errors import OptionError
from litertlm.tools.context import ToolContext

__all__ = ["check_takes", "context_parameter", "is_context", "plain_function"]


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """What carries hints and docstring: of a partial, a bound method, a class, an object with __call__."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isclass(function):
        return cast("Callable[..., Any]", function.__init__)
    if inspect.isroutine(function):
        return function
    return type(function).__call__


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type takes a :class:`ToolContext`."""
    if get_origin(annotation) in {Union, types.UnionType, Annotated}:
        return any(is_context(part) for part in get_args(annotation))
    return annotation is ToolContext


def context_parameter(function: Callable[..., Any]) -> str | None:
    """The parameter that takes a :class:`ToolContext`, as far as the function can be looked into."""
    try:
        hints = get_type_hints(plain_function(function))
    except Exception:
        return None
    return next((name for name, hint in hints.items() if name != "return" and is_context(hint)), None)


def check_takes(function: Callable[..., Any], names: Iterable[str], tool: str) -> None:
    """Raises OptionError if a function cannot be called with one of these keywords."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return  # a builtin that does not tell
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    takes = {p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
    for name in names:
        if name not in takes:
            raise OptionError(
                f"The handler of tool {tool} takes no argument {name!r}, which its schema declares",
                hint="Arguments are passed by keyword; add it, or take **arguments.",
            )
