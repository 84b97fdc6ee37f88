"""JSON schemas that a model's chat template can show: self-contained, and no longer than needed.

Templates print ``type``, ``enum``, ``properties`` and ``items``; they cannot follow ``$ref`` and do not know
``anyOf`` with null or ``const``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from litertlm.errors import OptionError

__all__ = ["has_references", "inline_references", "simplify", "types_of"]

# Where schemas stand inside a schema. Everything else (default, enum, examples, ...) is data.
ONE = frozenset(
    {
        "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
MANY = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})

MOST_NODES = 10_000


def has_references(schema: Any) -> bool:
    """Whether a ``$ref`` stands anywhere in a schema, or what it would refer to."""
    if not isinstance(schema, Mapping):
        return False
    found = "$ref" in schema or "$defs" in schema or "definitions" in schema

    def look(inner: Any) -> Any:
        nonlocal found
        found = found or has_references(inner)
        return inner

    _map(schema, look)
    return found


def inline_references(schema: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The schema with every ``$ref`` replaced by what it refers to; a recursive one by a plain object.

    Args:
        schema: The root, which the references are resolved in.
        where: What the schema is of, for messages.

    Raises:
        OptionError: A reference leads nowhere or out of the schema, or the result is far too large.
    """
    nodes = 0

    def inline(node: Any, open_references: tuple[str, ...]) -> Any:
        nonlocal nodes
        if not isinstance(node, Mapping):
            return node
        nodes += 1
        if nodes > MOST_NODES:
            raise OptionError(f"The schema of {where} has more than {MOST_NODES} parts without references")
        kept = {key: value for key, value in node.items() if key not in {"$defs", "definitions", "$ref"}}
        reference = node.get("$ref")
        if reference is None:
            return _map(kept, lambda inner: inline(inner, open_references))
        siblings = _map(kept, lambda inner: inline(inner, open_references))
        if reference in open_references or reference == "#":
            return {"type": "object", **siblings}
        target = inline(_resolve(schema, reference, where), (*open_references, reference))
        return {**target, **siblings} if isinstance(target, Mapping) else siblings

    result: dict[str, Any] = inline(schema, ())
    return result


def _resolve(schema: Mapping[str, Any], reference: Any, where: str) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise OptionError(
            f"The schema of {where} refers to {reference!r}", hint="References must begin with '#/'."
        )
    node: Any = schema
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list | tuple) and key.isascii() and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping) and key in node:
            node = node[key]
        else:
            raise OptionError(f"The schema of {where} refers to {reference!r}, which it does not have")
    return node


def simplify(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A generated schema without references, in the words that chat templates know.

    Generated titles go; ``const`` becomes ``enum``; a choice between one thing and null becomes that thing,
    ``nullable``; a tuple of equal items gets ``items``.
    """
    node: dict[str, Any] = {
        key: value for key, value in schema.items() if key not in {"title", "discriminator"}
    }
    node = _map(node, simplify)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    parts = node.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:
        node = {**parts[0], **{key: value for key, value in node.items() if key != "allOf"}}
    choices = node.get("anyOf")
    if isinstance(choices, list):
        real = [choice for choice in choices if choice.get("type") != "null"]
        if len(real) == 1 and len(real) < len(choices):
            node = {
                **real[0],
                **{key: value for key, value in node.items() if key != "anyOf"},
                "nullable": True,
            }
    places = node.get("prefixItems")
    if isinstance(places, list) and places and "items" not in node and all(p == places[0] for p in places):
        del node["prefixItems"]
        node["items"] = places[0]
    return node


def types_of(schema: Any) -> frozenset[str]:
    """The JSON types that a schema without references lets through; empty when it does not say."""
    if not isinstance(schema, Mapping):
        return frozenset()
    said = schema.get("type")
    types = {said} if isinstance(said, str) else set(said) if isinstance(said, list | tuple) else set()
    for key in ("anyOf", "oneOf"):
        for choice in schema.get(key) or ():
            types |= types_of(choice)
    if schema.get("nullable") is True and types:
        types.add("null")
    return frozenset(types)


def _map(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy of a schema with its direct inner schemas changed."""
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            changed[key] = {name: _one(inner, change) for name, inner in value.items()}
        elif key in MANY and isinstance(value, list | tuple):
            changed[key] = [_one(inner, change) for inner in value]
        elif key in ONE:
            changed[key] = _one(value, change)
        else:
            changed[key] = value
    return changed


def _one(schema: Any, change: Callable[[Any], Any]) -> Any:
    return change(schema) if isinstance(schema, Mapping) else schema
