"""From a function's signature to the JSON schema of its arguments, and to the check of them.

The one importer of pydantic (and of typing_extensions, which comes with it) that declarations need; imported
when the first function becomes a tool.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, SchemaError, to_jsonable_python

from litertlm.errors import OptionError
from litertlm.tools.arguments import BadArgumentsError, place, shown, unknown_arguments
from litertlm.tools.docstrings import parse_docstring
from litertlm.tools.handlers import is_context, plain_function
from litertlm.tools.schema import inline_references, simplify

__all__ = ["Signature"]

# Extra arguments are told to the model; "zip code: 12345" is text, whatever the model thinks.
CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

MOST_PROBLEMS = 4


class Signature:
    """The parameters that the model fills in.

    Args:
        function: Sync or async, a bound method, a partial or a callable object.
        name: The tool's name, for messages.

    Attributes:
        description: What the docstring says, without its sections.
        parameters: The JSON schema.
        context: The parameter that takes a :class:`~litertlm.tools.context.ToolContext`, None when there is
            none.

    Raises:
        OptionError: A parameter cannot be described to a model.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        plain = plain_function(function)
        hints = _hints(plain, name)
        docstring = parse_docstring(inspect.getdoc(function if inspect.isclass(function) else plain))
        self.description = docstring.description
        self.context: str | None = None
        self._fields: dict[str, FieldInfo] = {}
        self._keys: dict[str, str] = {}
        annotations: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        descriptions: dict[str, str] = {}
        for parameter in _parameters(function, name):
            annotation = hints.get(parameter.name, parameter.empty)
            if is_context(annotation):
                self.context = parameter.name
                continue
            annotation = _checked(parameter, annotation, name)
            if isinstance(parameter.default, FieldInfo):
                annotation = Annotated[annotation, parameter.default]
            elif parameter.default is not parameter.empty:
                defaults[parameter.name] = parameter.default
            info = _field(annotation)
            if info is not None and not info.is_required() and parameter.name not in defaults:
                # Field(default=...) or Field(default_factory=...): the function does not fill it in itself.
                self._fields[parameter.name] = info
                defaults[parameter.name] = None if info.default is PydanticUndefined else info.default
            self._keys[parameter.name] = _alias(info) or parameter.name
            said = _description(annotation) or docstring.parameters.get(parameter.name)
            if said:
                descriptions[parameter.name] = said
            form = typing_extensions.NotRequired if parameter.name in defaults else typing_extensions.Required
            annotations[parameter.name] = cast(Any, form)[_without_default(annotation)]
        self._adapter, schema = _adapter(annotations, name)
        self.parameters = self._finished(schema, defaults, descriptions)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As :class:`~litertlm.tools.arguments.ArgumentReader` says."""
        try:
            values: dict[str, Any] = self._adapter.validate_python(dict(arguments))
            for name, info in self._fields.items():
                if name not in values:
                    values[name] = info.get_default(call_default_factory=True, validated_data={})
        except ValidationError as error:
            raise BadArgumentsError(_explained(error, self._keys.values())) from None
        except Exception as error:
            # A validator of the application failed in a way of its own.
            raise BadArgumentsError(f"The arguments do not fit: {type(error).__name__}: {error}") from error
        return values

    def _finished(
        self, schema: dict[str, Any], defaults: Mapping[str, Any], descriptions: Mapping[str, str]
    ) -> dict[str, Any]:
        properties = schema.get("properties", {})
        for name, key in self._keys.items():
            node = properties.get(key)
            if not isinstance(node, dict):
                continue
            if name in descriptions:
                node["description"] = descriptions[name]
            default = defaults.get(name)
            if default is None:
                node.pop("default", None)
                if name in defaults:
                    node.pop("nullable", None)  # leaving it out says the same
            elif "default" not in node:
                try:
                    node["default"] = to_jsonable_python(default)
                except Exception:
                    continue  # a default that JSON cannot say stays the function's secret
        finished = {"type": "object", "properties": properties}
        if schema.get("required"):
            finished["required"] = schema["required"]
        return finished


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise OptionError(
            f"Tool {name!r}: {function!r} does not tell its parameters",
            hint="Wrap it in a function with type hints.",
        ) from None
    # Keywords bound by a partial are the application's; it keeps them to itself.
    bound = set(function.keywords) if isinstance(function, functools.partial) else set()
    return [parameter for parameter in found if parameter.name not in bound]


def _checked(parameter: inspect.Parameter, annotation: Any, name: str) -> Any:
    what = f"Tool {name!r}: parameter {parameter.name!r}"
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise OptionError(
            f"Tool {name!r}: parameter '{stars}{parameter.name}' takes any number of arguments",
            hint="Name every argument, or take one list or dict with a type hint.",
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise OptionError(
            f"{what} is positional-only", hint="Remove the '/': the model passes arguments by name."
        )
    if annotation is parameter.empty:
        if parameter.name in {"self", "cls"}:
            hint = "Make the tool of the bound method: Tool.from_function(thing.method)."
        else:
            hint = f"Say what it is, for example {parameter.name}: str."
        raise OptionError(f"{what} has no type hint", hint=hint)
    if parameter.default is None:
        return _or_none(annotation)
    return annotation


def _adapter(annotations: dict[str, Any], name: str) -> tuple[TypeAdapter[dict[str, Any]], dict[str, Any]]:
    """The check of a whole call, and its schema."""
    try:
        adapter = _typed_dict(annotations)
        schema = adapter.json_schema()
    except (PydanticUserError, SchemaError, TypeError, NameError, RecursionError) as error:
        # Find the parameter that it is about.
        for parameter, annotation in annotations.items():
            try:
                _typed_dict({parameter: annotation}).json_schema()
            except (PydanticUserError, SchemaError, TypeError, NameError, RecursionError) as cause:
                raise _undescribable(name, parameter, get_args(annotation)[0], cause) from cause
        raise OptionError(f"Tool {name!r} cannot be described to a model: {_first_line(error)}") from error
    return adapter, simplify(inline_references(schema, where=f"tool {name!r}"))


def _typed_dict(annotations: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
    # A TypedDict, not a model: any parameter name will do, and defaults stay the function's.
    form = cast(Any, typing_extensions.TypedDict)("Arguments", annotations)
    form.__pydantic_config__ = CONFIG
    return TypeAdapter(form)


def _undescribable(name: str, parameter: str, annotation: Any, cause: BaseException) -> OptionError:
    what = getattr(annotation, "__name__", None) or str(annotation)
    hint = "Use types that JSON knows: str, int, float, bool, list, dict, Literal, Enum, dataclasses, models."
    if "typing_extensions.TypedDict" in str(cause):
        hint = "Before Python 3.12, take TypedDict from typing_extensions."
    elif not isinstance(cause, PydanticSchemaGenerationError):
        hint = f"{_first_line(cause)}. {hint}"
    return OptionError(
        f"Tool {name!r}: parameter {parameter!r} of type {what} cannot be described to a model", hint=hint
    )


def _explained(error: ValidationError, known: Any) -> str:
    """Pydantic's findings as sentences that a model can act on."""
    found = error.errors(include_url=False, include_context=False)
    unknown = [
        str(item["loc"][-1]) for item in found if item["type"] == "extra_forbidden" and len(item["loc"]) == 1
    ]
    sentences = [unknown_arguments(unknown, known)] if unknown else []
    for item in found:
        where = place(item["loc"])
        if item["type"] == "missing":
            sentences.append(f"Argument {where!r} is missing.")
        elif item["type"] == "extra_forbidden":
            if len(item["loc"]) > 1:
                sentences.append(f"There is no {where!r}.")
        else:
            problem = item["msg"].replace("Input should be", "must be", 1).removeprefix("Value error, ")
            sentences.append(f"Argument {where!r}: {problem}; it was {shown(item['input'])}.")
    more = len(sentences) - MOST_PROBLEMS
    return " ".join(sentences[:MOST_PROBLEMS]) + (f" And {more} more problems." if more > 0 else "")


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """Type hints with their strings resolved, also to names that are local where the function is declared."""
    module = getattr(function, "__globals__", {})
    namespace: dict[str, Any] = {}
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is module and frame.f_code.co_name != "<module>":
            namespace = {**frame.f_locals, **namespace}
        frame = frame.f_back
    try:
        said = dict(getattr(function, "__annotations__", {}))
        # What the function returns need not be known here.
        said.pop("return", None)
        carrier: Any = types.SimpleNamespace(__annotations__=said)
        return get_type_hints(carrier, globalns=module, localns=namespace, include_extras=True)
    except Exception as error:
        raise OptionError(
            f"Tool {name!r}: its type hints cannot be resolved: {_first_line(error)}",
            hint="Import the names that they use where the function is declared, not for type checking only.",
        ) from error


def _or_none(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        parts = (Union[inner, None], *metadata)  # noqa: UP007
        return cast("Any", Annotated)[parts]
    return Union[annotation, None]  # noqa: UP007


def _field(annotation: Any) -> FieldInfo | None:
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((part for part in reversed(metadata) if isinstance(part, FieldInfo)), None)


def _description(annotation: Any) -> str | None:
    """What Annotated says about a parameter: a text, or a Field's description."""
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    for part in metadata:
        said = part.description if isinstance(part, FieldInfo) else part
        if said and isinstance(said, str):
            return said
    return None


def _without_default(annotation: Any) -> Any:
    """The annotation without defaults in Annotated, which are filled in here, not by pydantic."""
    if get_origin(annotation) is not Annotated:
        return annotation
    inner, *metadata = get_args(annotation)
    for at, part in enumerate(metadata):
        if isinstance(part, FieldInfo) and not part.is_required():
            metadata[at] = required = copy.copy(part)
            required.default, required.default_factory = PydanticUndefined, None
    parts = (inner, *metadata)
    return cast("Any", Annotated)[parts]


def _alias(info: FieldInfo | None) -> str | None:
    alias = info and (info.validation_alias or info.alias)
    return alias if isinstance(alias, str) else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
