"""The declaration of a tool."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast, get_args, overload

from litertlm.errors import OptionError
from litertlm.options import check_choice, check_number
from litertlm.tools.arguments import ArgumentReader
from litertlm.tools.handlers import check_takes, context_parameter
from litertlm.tools.schema import has_references, inline_references
from litertlm.tools.schema_arguments import SchemaArguments

__all__ = ["FunctionTool", "OnError", "Tool", "tool"]

OnError: TypeAlias = Literal["raise", "inform"]
"""What a failing handler does: end the turn with a ToolError, or be told to the model."""

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    With a handler, the chat runs it; without one, the application does and sends the result back.

    Args:
        name: Letters, digits, ``_``, ``.`` and ``-``, not starting with a digit; at most 64.
        description: What it does, for the model.
        parameters: A JSON schema of type ``object``. References inside it are written out, since chat
            templates cannot follow them; a recursive one becomes a plain object.
        handler: Called with the arguments by keyword, after they were checked against the schema. Sync or
            async. Runs in a thread of its own. A parameter annotated
            :class:`~litertlm.tools.context.ToolContext` gets one.
        on_error: ``"raise"``: a failing handler ends the turn with a :class:`~litertlm.errors.ToolError`;
            ``"inform"``: the model is told, and may try again. Arguments that do not fit are always told to
            the model.
        timeout: Seconds for one call, > 0; None: the turn's setting.

    Raises:
        OptionError: The name, the schema or a setting cannot be used.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    handler: Callable[..., Any] | None = None
    on_error: OnError = field(default="raise", kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise OptionError(f"{self.name!r} is not a tool name", hint="Use letters, digits, '_', '.', '-'.")
        if not isinstance(self.description, str):
            raise OptionError(f"The description of tool {self.name} is a {type(self.description).__name__}")
        if not isinstance(self.parameters, Mapping) or self.parameters.get("type") != "object":
            raise OptionError(
                f"The parameters of tool {self.name} are not a JSON schema of type object",
                hint='Give {"type": "object", "properties": {...}}.',
            )
        if self.handler is not None and not callable(self.handler):
            raise OptionError(f"The handler of tool {self.name} cannot be called: {self.handler!r}")
        check_choice(f"on_error of tool {self.name}", self.on_error, get_args(OnError))
        check_number(f"timeout of tool {self.name}", self.timeout, 0.0, float("inf"))
        if self.timeout == 0:
            raise OptionError(f"timeout of tool {self.name} must be more than 0 seconds")
        try:
            if has_references(self.parameters):
                flat = inline_references(self.parameters, where=f"tool {self.name!r}")
                object.__setattr__(self, "parameters", flat)
        except RecursionError:
            raise OptionError(f"The schema of tool {self.name} is nested too deep") from None
        self._check_handler()

    def __deepcopy__(self, memo: object) -> Tool:
        return self

    @property
    def reader(self) -> ArgumentReader:
        """What checks and converts the arguments of a call."""
        return SchemaArguments(self.parameters)

    @property
    def context(self) -> str | None:
        """The handler's parameter that takes a :class:`~litertlm.tools.context.ToolContext`."""
        return None if self.handler is None else context_parameter(self.handler)

    def _check_handler(self) -> None:
        properties = self.parameters.get("properties")
        if self.handler is not None and isinstance(properties, Mapping):
            check_takes(self.handler, properties, self.name)

    @staticmethod
    def from_function(
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> FunctionTool[P, R]:
        """A tool from a function's name, type hints and docstring.

        Args:
            function: Sync or async; a bound method or a partial will do. Every parameter has a type hint that
                JSON can express: str, int, float, bool, list, dict, Literal, Enum, Optional, dataclasses,
                TypedDicts, pydantic models. ``Annotated[..., "text"]`` or the docstring describes it.
            name: None: the function's.
            description: None: the docstring, without its sections.
            on_error: As for :class:`Tool`.
            timeout: As for :class:`Tool`.

        Raises:
            OptionError: A parameter cannot be described to a model; it says which, and what to do.
        """
        return FunctionTool(function, name=name, description=description, on_error=on_error, timeout=timeout)


class FunctionTool(Tool, Generic[P, R]):
    """A function that is a tool; calling it calls the function."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> None:
        if isinstance(function, FunctionTool):
            function = cast("Callable[P, R]", function.handler)
        if not callable(function) or isinstance(function, Tool):
            raise OptionError(f"A tool is made of a function, not of {function!r}")
        if name is None:
            name = _name_of(function)
        # pydantic is imported when the first function becomes a tool.
        from litertlm.tools.signature import Signature

        signature = Signature(function, name)
        Tool.__init__(
            self,
            name,
            signature.description if description is None else description,
            signature.parameters,
            function,
            on_error=on_error,
            timeout=timeout,
        )
        # Frozen, like every tool; these make it look like the function.
        object.__setattr__(self, "_signature", signature)
        object.__setattr__(self, "__wrapped__", function)
        for attribute in ("__doc__", "__name__", "__qualname__", "__module__"):
            if hasattr(function, attribute):
                object.__setattr__(self, attribute, getattr(function, attribute))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        function = cast("Callable[P, R]", self.handler)
        return function(*args, **kwargs)

    @property
    def reader(self) -> ArgumentReader:
        """What checks and converts the arguments of a call."""
        return cast("ArgumentReader", self._signature)  # type: ignore[attr-defined]

    @property
    def context(self) -> str | None:
        """The function's parameter that takes a :class:`~litertlm.tools.context.ToolContext`."""
        return cast("str | None", self._signature.context)  # type: ignore[attr-defined]

    def _check_handler(self) -> None:
        """The schema is made from the function, so they fit."""

    def __reduce__(self) -> Any:
        # By name where the decorated function stands under its own name; else it is made again.
        try:
            found = attrgetter(self.__qualname__)(sys.modules[self.__module__])  # type: ignore[attr-defined]
        except (AttributeError, KeyError):
            found = None
        if found is self:
            return self.__qualname__
        return (_remade, (self.handler, self.name, self.description, self.on_error, self.timeout))

    # As functions do: equal to itself, and good as a key.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
) -> Any:
    """Make a function a tool; bare or with settings. See :meth:`Tool.from_function`.

    >>> from litertlm import tool
    >>> @tool
    ... def add(a: int, b: int) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> add(1, 2), add.name
    (3, 'add')
    """

    def declare(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return FunctionTool(function, name=name, description=description, on_error=on_error, timeout=timeout)

    return declare if function is None else declare(function)


def _remade(
    function: Callable[..., Any], name: str, description: str, on_error: OnError, timeout: float | None
) -> FunctionTool[..., Any]:
    return FunctionTool(function, name=name, description=description, on_error=on_error, timeout=timeout)


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise OptionError(f"{function!r} has no name that a tool can have", hint="Pass name='...'.")
    return name
