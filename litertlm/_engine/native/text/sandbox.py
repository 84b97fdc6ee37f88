"""A Jinja environment for templates that come with a model, from whoever made it.

Jinja's own sandbox keeps a template from reaching anything but its values. This one also bounds what it may
compute, as templates can neither be interrupted nor trusted to end soon, and makes its values behave and look
as in the official engine's template library, minijinja.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from functools import wraps
from typing import Any, NoReturn, cast

from jinja2 import TemplateRuntimeError, nodes, pass_environment, pass_eval_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_unique
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from litertlm._engine.native.text.printing import to_json, to_text

__all__ = ["MOST_CHARACTERS", "STEPS", "Sandbox", "Steps"]

MOST_CHARACTERS = 1 << 25
"""The longest text that a template may make, output included."""

MOST_STEPS = 2_000_000
"""How often loops and macros of one rendering may be entered."""

MOST_SECONDS = 5.0
"""How long a rendering may go on entering them."""

STEPS = "litertlm steps"
"""Where a rendering's :class:`Steps` are among its variables; no template can spell it."""

_MOST_ITEMS = 1_000_000
_MOST_BITS = 128  # of an integer
_MOST_INDENT = 64

CALLED = "()"
"""Ends the name of an attribute that is called."""

# Methods that Python's Jinja knows and that templates are written with. What pads is not among them.
_METHODS: dict[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: "capitalize count endswith find index isalnum isalpha isascii isdigit islower isnumeric isspace"
        " isupper join lower lstrip partition removeprefix removesuffix replace rfind rpartition rsplit"
        " rstrip split splitlines startswith strip swapcase title upper",
        list: "count index",
        tuple: "count index",
        dict: "get items keys values",
    }.items()
}
_FILTERS = (
    "abs capitalize count d default dictsort e escape first float groupby int last length list lower map"
    " max min reject rejectattr reverse safe select selectattr sort sum title trim upper"
)


class Steps:
    """How much a rendering may still do."""

    def __init__(self) -> None:
        self._left = MOST_STEPS
        self._deadline = time.monotonic() + MOST_SECONDS

    def take(self) -> None:
        """Raises TemplateRuntimeError when it is too much."""
        self._left -= 1
        if self._left < 0 or time.monotonic() > self._deadline:
            raise TemplateRuntimeError("it does not come to an end")


class _Generator(CodeGenerator):
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.joined((")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write("))")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        if isinstance(node.node, nodes.EnvironmentAttribute):
            self.write("environment.step(context)")  # ours; the sandbox's way to call would take much longer
        else:
            super().visit_Call(node, frame, forward_caller=forward_caller)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment; templates made by it need ``STEPS`` among their variables. Threads: any."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            optimized=False,  # constants are to be written as everything else is
            extensions=["jinja2.ext.loopcontrols"],
            finalize=_finalize,
        )
        filters = {name: self.filters[name] for name in _FILTERS.split()} | {
            "attr": pass_environment(lambda environment, value, name: environment.getattr(value, name)),
            "indent": _indent,
            "items": _items,
            "join": _join,
            "replace": _replace,
            "format": _format,
            "round": _round,
            "string": to_text,
            "tojson": _tojson,
            "split": str.split,
            "lines": str.splitlines,
            "lstrip": str.lstrip,
            "rstrip": str.rstrip,
            "bool": bool,
            "unique": pass_environment(lambda *args, **kwargs: list(do_unique(*args, **kwargs))),
        }
        self.filters = {name: _sized(each) for name, each in filters.items()}
        self.tests |= {
            # In the official engine only what is not there is none, null is not.
            "none": lambda value: isinstance(value, Undefined),
            "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
            "sequence": lambda value: isinstance(value, list | tuple | range),
            "startingwith": str.startswith,
            "endingwith": str.endswith,
        }
        kept_globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}
        self.globals = kept_globals | {"raise_exception": _raise, "strftime_now": _strftime_now}

    # ---- bounds ----

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        entered = template.find_all((nodes.For, nodes.Macro, nodes.CallBlock))
        for node in cast("Iterator[nodes.For | nodes.Macro | nodes.CallBlock]", entered):
            step = nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None)
            node.body.insert(0, nodes.ExprStmt(step).set_lineno(node.lineno, override=True))
        for call in template.find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr):
                call.node.attr += CALLED
        return template

    @staticmethod
    def step(context: Context) -> None:
        """A loop or a macro is entered; what templates call, without knowing."""
        context.parent[STEPS].take()

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """What blocks and macros make of what was written in them."""
        return "".join(_bounded(pieces))

    @staticmethod
    def joined(values: Iterable[Any]) -> str:
        """What ``~`` makes of its operands."""
        return "".join(_bounded(map(to_text, values)))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operation whose result could be large."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not numbers:
            # Both values are there already; only doubling them over and over is dangerous.
            if isinstance(left, str) and isinstance(right, str):
                _require(len(left) + len(right) <= MOST_CHARACTERS)
            elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
                _require(len(left) + len(right) <= _MOST_ITEMS)
        elif operator == "*" and not numbers:
            sequence, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                most = MOST_CHARACTERS if isinstance(sequence, str) else _MOST_ITEMS
                _require(len(sequence) * times <= most)
        elif operator == "**":
            _require(not isinstance(right, int) or abs(right) <= _MOST_BITS)
        elif operator == "%" and isinstance(left, str):
            raise TemplateRuntimeError("% does not format text")
        result = super().call_binop(context, operator, left, right)
        _require(not isinstance(result, int) or result.bit_length() <= _MOST_BITS)
        return result

    # ---- values ----

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What ``obj.attribute`` means: of values an item, and a method only where it is called."""
        called = attribute.endswith(CALLED)
        name = attribute.removesuffix(CALLED)
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind):
                if called and name in methods:
                    return _Method(obj, name)
                if isinstance(obj, dict) and name in obj:
                    return obj[name]
                return self.undefined(obj=obj, name=name)
        if obj is None:
            return self.undefined(obj=obj, name=name)
        return super().getattr(obj, name)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What ``obj[argument]`` means: of values an item, never an attribute."""
        if isinstance(obj, str | list | tuple | dict):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)


class _Method:
    """A method of a value, bounded."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self._owner, str) and self._name == "replace":
            return _replace(self._owner, *args, **kwargs)
        if isinstance(self._owner, str) and self._name == "join":
            return _join(args[0] if args else (), self._owner)
        result = getattr(self._owner, self._name)(*args, **kwargs)
        return list(result) if self._name in ("items", "keys", "values") else result


@pass_eval_context  # or else constants would be written by Python
def _finalize(context: EvalContext, value: Any) -> str:
    return to_text(value)


def _require(fits: bool) -> None:
    if not fits:
        raise TemplateRuntimeError("it makes too large a value")


def _sized(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that cannot, applied again and again, make too much of its value."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, str):
            _require(len(result) <= MOST_CHARACTERS)
        elif isinstance(result, list | tuple):
            _require(len(result) <= _MOST_ITEMS)
        return result

    return bounded


def _bounded(pieces: Iterable[str]) -> Iterator[str]:
    total = 0
    for piece in pieces:
        total += len(piece)
        _require(total <= MOST_CHARACTERS)
        yield piece


def _with_separator(separator: str, texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield separator
        yield text


def _join(value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    values = (item[attribute] for item in value) if attribute else iter(value)
    return "".join(_bounded(_with_separator(to_text(d), map(to_text, values))))


def _items(value: Any) -> list[tuple[Any, Any]]:
    return [] if isinstance(value, Undefined) else list(value.items())


def _round(value: float, precision: int = 0) -> float:
    """Halves go away from zero."""
    if isinstance(value, int):
        return value
    step = Decimal(1).scaleb(-precision)
    return float(Decimal(repr(value)).quantize(step, ROUND_HALF_UP))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text, new = to_text(text), to_text(new)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    _require(len(text) + times * (len(new) - len(old)) <= MOST_CHARACTERS)
    return text.replace(old, new, count)


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    _require(width <= _MOST_INDENT)
    pad = " " * width
    lines = to_text(text).split("\n")
    return "\n".join(
        (pad if (number or first) and (line or blank) else "") + line for number, line in enumerate(lines)
    )


def _format(text: str, *args: Any, **kwargs: Any) -> str:
    if re.search(r"[0-9]{4}|\*", text):
        raise TemplateRuntimeError("a width of format is too large")
    return str(text) % (kwargs or args)


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is None:
        return to_json(value)
    _require(indent <= _MOST_INDENT)
    import json

    return json.dumps(json.loads(to_json(value)), ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise TemplateRuntimeError(to_text(message))


def _strftime_now(form: str) -> str:
    return datetime.now(timezone.utc).strftime(form)
