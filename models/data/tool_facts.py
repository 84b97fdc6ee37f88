"""What tools are declared as and what they answer: schemas, sums, weather reports, errors."""

from __future__ import annotations

from random import Random
from typing import Any

from models.data.words import CONDITIONS, made_up

Tool = dict[str, Any]

ERRORS = [
    "city not found",
    "not found",
    "timeout",
    "no connection",
    "service unavailable",
    "unknown city",
    "division by zero",
    "invalid expression",
    "access denied",
    "server error",
    "try again later",
    "network error",
    "bad request",
]


def schema(name: str, properties: Tool, required: list[str]) -> Tool:
    """Return a function declaration."""
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def some_sum(rng: Random, sign: str | None = None) -> tuple[str, str, str]:
    """Return a sum as asked, as an expression, and its result."""
    pair_only = sign is not None
    sign = sign or rng.choice("+-**/+")
    digits = rng.choice((1, 1, 2, 2, 2, 3, 3, 4))
    x, y = rng.randint(1, 10**digits - 1), rng.randint(1, 10 ** rng.choice((1, 2, digits)) - 1)
    words = {
        "+": ("plus", "+", "+", "and"),
        "-": ("minus", "-", "-"),
        "*": ("times", "*", "*", "multiplied by", "x"),
        "/": ("divided by", "/", "/", "over"),
    }
    word = rng.choice(words[sign][: 3 if sign == "+" and not pair_only else None])
    tight = word in "+-*/" and rng.random() < 0.3
    expression = f"{x}{sign}{y}" if tight else f"{x} {sign} {y}"
    asked = f"{x}{word}{y}" if tight else f"{x} {word} {y}"
    if pair_only:
        expression = f"{x} {sign} {y}"
    elif rng.random() < 0.12 and not tight and word in "+-*/":
        other, z = rng.choice("+-*"), rng.randint(1, 99)
        expression = rng.choice((f"({expression}) {other} {z}", f"{expression} {other} {z}"))
        asked = expression
    outcome = rng.choice(
        (str(rng.randint(0, 9999)), str(rng.randint(0, 99)), str(round(rng.uniform(0, 99), 2)))
    )
    if rng.random() < 0.1:
        outcome = f"-{outcome}"
    return asked, expression, outcome


def number(text: str) -> int | float:
    """Return the number that `text` says."""
    text = text.strip()
    return float(text) if "." in text else int(text)


def weather_result(rng: Random, city: str) -> tuple[Any, str]:
    """Return what a weather tool may answer, and the sentence to make of it."""
    temperature: int | float = rng.randint(-20, 42)
    if rng.random() < 0.15:
        temperature = round(rng.uniform(-20, 42), 1)
    sky = rng.choice(CONDITIONS)
    if rng.random() < 0.12:
        degree = rng.choice(("light", "heavy", "partly", "mostly"))
        sky = f"{degree} {rng.choice(('rain', 'snow', 'cloudy', 'sunny'))}"
    if rng.random() < 0.06:
        error = rng.choice(ERRORS)
        return {"error": error}, f"The tool failed: {error}."
    if rng.random() < 0.08:
        text = rng.choice(
            (f"{sky}, {temperature} degrees", f"{temperature} degrees and {sky}", f"{temperature} C")
        )
        return text, f"The weather in {city}: {text}."
    degrees = rng.choice(("temperature", "temperature", "temp", "temp_c", "degrees"))
    words = rng.choice(("condition", "conditions", "sky", "weather", "description", "summary"))
    draw = rng.random()
    result: Tool = {}
    if draw < 0.85:
        result[degrees] = temperature
    if draw < 0.55 or draw >= 0.85:
        result[words] = sky
    if rng.random() < 0.25:
        result["city"] = city
    if rng.random() < 0.15:
        result["unit"] = rng.choice(("C", "celsius", "F"))
    if rng.random() < 0.1:
        result[rng.choice(("humidity", "wind"))] = rng.randint(0, 100)
    said = []
    if degrees in result:
        said.append(f"{temperature} degrees")
    if words in result:
        said.append(sky)
    return result, f"It is {' and '.join(said)} in {city}."


def other_tool(rng: Random) -> Tool:
    """A tool the model has never heard of."""
    verbs = "send set get find play list open delete create translate book read stop start turn show"
    nouns = "email light song file note alarm ticket news stock text order room user map door task"
    name = f"{rng.choice(verbs.split())}_{rng.choice(nouns.split())}"
    if rng.random() < 0.2:
        name = made_up(rng).lower()
    keys = [
        "name",
        "text",
        "id",
        "title",
        "room",
        "song",
        "symbol",
        "language",
        "body",
        "level",
        "on",
        "size",
        "query",
        "user",
        "path",
    ]
    chosen = rng.sample(keys, rng.choice((0, 1, 1, 2, 3)))
    kinds = ("string", "string", "integer", "number", "boolean")
    properties = {key: {"type": rng.choice(kinds)} for key in chosen}
    return schema(name, properties, chosen[: rng.randint(0, len(chosen))])
