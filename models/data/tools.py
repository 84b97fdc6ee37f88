"""Tool conversations: declarations that vary, calls with copied arguments, results put into words."""

from __future__ import annotations

from random import Random
from typing import Any

from models.data.dialogue import Call, Dialogue
from models.data.phrasing import fill, vary
from models.data.tool_facts import ERRORS, Tool, number, other_tool, schema, some_sum, weather_result
from models.data.words import CITIES, some_city

_WEATHER_NAMES = "get_weather weather current_weather get_current_weather weather_now check_weather forecast"
_SUM_NAMES = "calculator calculate calc evaluate math compute do_math"
_TIME_NAMES = "get_time time current_time clock get_current_time now time_now"
_CITY_KEYS = ("city", "city", "location", "place", "city_name")
_SUM_KEYS = ("expression", "expression", "expr", "input", "formula", "query")
_UNITS = (("C", "F"), ("celsius", "fahrenheit"), ("metric", "imperial"))

_WEATHER = [
    "What is the weather in {x}?",
    "What's the weather in {x}?",
    "How is the weather in {x}?",
    "Weather in {x}?",
    "What is the weather like in {x}?",
    "Weather for {x}",
    "{x} weather",
    "Tell me the weather in {x}.",
    "How warm is it in {x}?",
    "How cold is it in {x}?",
    "What is the temperature in {x}?",
    "Weather {x}",
    "Is it raining in {x}?",
    "Is it sunny in {x}?",
    "Do I need an umbrella in {x}?",
    "Check the weather in {x}.",
    "What's the temperature in {x}?",
    "Is it warm in {x}?",
    "Get the weather for {x}.",
    "Temperature in {x}?",
    "How is the weather in {x} today?",
    "What is the weather in {x} right now?",
    "I am in {x}. Is it cold?",
    "Can you check the weather in {x}?",
    "What should I wear in {x}?",
    "Give me the weather in {x}.",
]
_WEATHER_TWO = [
    "What is the weather in {x} and {y}?",
    "Weather in {x} and {y}?",
    "Weather in {x} and in {y}?",
    "Compare the weather in {x} and {y}.",
    "How is the weather in {x} and {y}?",
    "Is it warmer in {x} or {y}?",
    "What's the weather in {x} and {y}?",
    "Tell me the weather in {x} and {y}.",
    "Temperature in {x} and {y}?",
]
_AND_WEATHER = [
    "And in {x}?",
    "And {x}?",
    "What about {x}?",
    "And what about {x}?",
    "How about {x}?",
    "Now {x}.",
]
_SUM = [
    "What is {x}?",
    "What's {x}?",
    "How much is {x}?",
    "Calculate {x}",
    "Compute {x}",
    "{x}",
    "{x} = ?",
    "{x}?",
    "Work out {x}.",
    "Please calculate {x}",
    "What does {x} make?",
    "Tell me {x}",
    "Can you calculate {x}?",
    "Evaluate {x}",
    "What is the result of {x}?",
    "Use the calculator: {x}",
    "Solve {x}",
    "I need {x}",
    "{x} equals what?",
]
_TIME = [
    "What time is it?",
    "What is the time?",
    "Tell me the time.",
    "What's the time?",
    "Do you know what time it is?",
    "Time?",
    "What time is it now?",
    "Current time?",
    "What is the time right now?",
    "Can you tell me the time?",
    "How late is it?",
    "The time, please.",
]
_TIME_IN = [
    "What time is it in {x}?",
    "What is the time in {x}?",
    "Time in {x}?",
    "Tell me the time in {x}.",
    "What's the time in {x}?",
    "Current time in {x}?",
    "How late is it in {x}?",
]

NO_WEATHER = "I cannot look up the weather without a weather tool."
NO_SUM = "I cannot calculate without a calculator tool."
NO_TIME = "I cannot know the time without a clock tool."


class ToolBox:
    """The tools declared in one conversation, and how to talk about each of them."""

    def __init__(self, rng: Random, *, kinds: tuple[str, ...] | None = None) -> None:
        self._rng = rng
        pool = ("weather", "weather", "sum", "sum", "time", "pair")
        if kinds is None:
            kinds = tuple(rng.choice(pool) for _ in range(rng.choice((1, 1, 2, 2, 3))))
        if "sum" in kinds:
            kinds = tuple(kind for kind in kinds if kind != "pair")
        self.kinds = tuple(dict.fromkeys(kinds))
        self.tools: list[Tool] = []
        for kind in self.kinds:
            getattr(self, f"_add_{kind}")()
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            self.tools.append(other_tool(rng))
        rng.shuffle(self.tools)

    def _add_weather(self) -> None:
        rng = self._rng
        self.weather = rng.choice(_WEATHER_NAMES.split())
        self.city_key = rng.choice(_CITY_KEYS)
        self.units: tuple[str, str] | None = None
        self.unit_required = False
        properties: Tool = {self.city_key: {"type": "string"}}
        required = [self.city_key]
        if rng.random() < 0.45:
            self.units = rng.choice(_UNITS)
            properties["unit"] = {"type": "string", "enum": list(self.units)}
            if rng.random() < 0.25:
                self.unit_required = True
                required.append("unit")
        elif rng.random() < 0.2:
            properties["days"] = {"type": "integer"}
        self.tools.append(schema(self.weather, properties, required))

    def _add_sum(self) -> None:
        self.sum = self._rng.choice(_SUM_NAMES.split())
        self.sum_key = self._rng.choice(_SUM_KEYS)
        properties = {self.sum_key: {"type": "string"}}
        self.tools.append(schema(self.sum, properties, [self.sum_key]))

    def _add_time(self) -> None:
        rng = self._rng
        self.time = rng.choice(_TIME_NAMES.split())
        self.time_key = rng.choice((None, "city", "timezone", "location"))
        properties = {self.time_key: {"type": "string"}} if self.time_key else {}
        self.time_required = bool(self.time_key) and rng.random() < 0.4
        self.tools.append(schema(self.time, properties, [self.time_key] if self.time_required else []))

    def _add_pair(self) -> None:
        rng = self._rng
        self.pair = rng.sample(("add", "multiply", "subtract", "divide"), rng.choice((1, 2, 2, 3)))
        self.pair_keys = rng.choice((("a", "b"), ("a", "b"), ("x", "y"), ("first", "second")))
        kind = rng.choice(("number", "integer"))
        for name in self.pair:
            properties = {key: {"type": kind} for key in self.pair_keys}
            self.tools.append(schema(name, properties, list(self.pair_keys)))

    def talk(self, d: Dialogue) -> None:
        """Add one exchange that uses one of the tools."""
        kind = self._rng.choice(self.kinds)
        getattr(self, f"_talk_{kind}")(d)

    def _talk_weather(self, d: Dialogue) -> None:
        rng = self._rng
        two = rng.random() < 0.2
        cities = [some_city(rng) for _ in range(2 if two else 1)]
        asked = list(cities)
        if rng.random() < 0.08:
            cities = [rng.choice(CITIES) for _ in cities]
            asked = [city.lower() for city in cities]
        later = getattr(self, "_asked_weather", False) and not two and rng.random() < 0.5
        patterns = _AND_WEATHER if later else _WEATHER_TWO if two else _WEATHER
        question = fill(rng, patterns, x=asked[0], y=asked[-1])
        self._asked_weather = True
        unit = self.units[0] if self.units and self.unit_required else None
        if self.units and rng.random() < 0.3:
            unit = rng.choice(self.units)
            spoken = {"C": "Celsius", "F": "Fahrenheit", "metric": "Celsius", "imperial": "Fahrenheit"}
            name = spoken.get(unit, unit.capitalize())
            question = question.rstrip("?.") + rng.choice((f" in {name}?", f", in {name}", f" ({name})"))
        calls = []
        for city in cities:
            arguments: Tool = {self.city_key: city}
            if unit:
                arguments["unit"] = unit
            calls.append(Call(self.weather, arguments))
        d.user(vary(rng, question, keep_case=True))
        names = " and ".join(cities)
        d.call(*calls, thought=f"The user wants the weather in {names}. I call {self.weather}.")
        told = [weather_result(rng, city) for city in cities]
        d.results(*((self.weather, result) for result, _ in told))
        sentence = told[0][1]
        if two:
            sentence = f"{sentence[:-1]}, and {told[1][1][0].lower()}{told[1][1][1:]}"
        d.say(sentence, weight=1.5)

    def _talk_sum(self, d: Dialogue) -> None:
        rng = self._rng
        asked, expression, result = some_sum(rng)
        d.user(vary(rng, fill(rng, _SUM, x=asked), keep_case=True))
        thought = f"The user wants to know {expression}. I call {self.sum}."
        d.call(Call(self.sum, {self.sum_key: expression}), thought=thought)
        self._sum_result(d, self.sum, expression, result)

    def _talk_pair(self, d: Dialogue) -> None:
        rng = self._rng
        name = rng.choice(self.pair)
        signs = {"add": "+", "multiply": "*", "subtract": "-", "divide": "/"}
        asked, expression, result = some_sum(rng, sign=signs[name])
        left, _, right = expression.replace(signs[name], " ").partition(" ")
        first, second = self.pair_keys
        d.user(vary(rng, fill(rng, _SUM, x=asked), keep_case=True))
        call = Call(name, {first: number(left), second: number(right)})
        d.call(call, thought=f"The user wants to know {expression}. I call {name}.")
        self._sum_result(d, name, expression, result)

    def _sum_result(self, d: Dialogue, name: str, expression: str, result: str) -> None:
        rng = self._rng
        if rng.random() < 0.07:
            error = rng.choice(ERRORS)
            d.results((name, {"error": error}))
            d.say(f"The tool failed: {error}.", weight=1.5)
            return
        value: Any = result if rng.random() < 0.25 else number(result)
        key = rng.choice(("result", "result", "value", "value", "answer"))
        content: Any = {key: value}
        if rng.random() < 0.12:
            content["expression"] = expression
        d.results((name, content))
        d.say(f"{expression} is {result}.", weight=1.5)

    def _talk_time(self, d: Dialogue) -> None:
        rng = self._rng
        city = None
        if self.time_key and (self.time_required or rng.random() < 0.5):
            city = some_city(rng)
        d.user(vary(rng, fill(rng, _TIME_IN, x=city) if city else rng.choice(_TIME), keep_case=True))
        arguments = {self.time_key: city} if city and self.time_key else {}
        d.call(Call(self.time, arguments), thought=f"The user wants the time. I call {self.time}.")
        time = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        d.results((self.time, {rng.choice(("time", "time", "value", "now", "result")): time}))
        d.say(f"It is {time} in {city}." if city else f"It is {time}.", weight=1.5)

    def refuse(self, d: Dialogue) -> None:
        """Ask for something that none of the tools can do."""
        rng = self._rng
        answers = {"weather": NO_WEATHER, "sum": NO_SUM, "time": NO_TIME}
        missing = [kind for kind in answers if kind not in self.kinds]
        if "pair" in self.kinds and "sum" in missing:
            missing.remove("sum")
        if missing:
            kind = rng.choice(missing)
            ask_without_tool(d, kind)


def ask_without_tool(d: Dialogue, kind: str) -> None:
    """Ask for the weather, a sum or the time, where no tool for it is declared."""
    rng = d.rng
    if kind == "weather":
        patterns = _WEATHER_TWO if rng.random() < 0.1 else _WEATHER
        question, reply = fill(rng, patterns, x=some_city(rng), y=some_city(rng)), NO_WEATHER
    elif kind == "time":
        question, reply = rng.choice(_TIME), NO_TIME
        if rng.random() < 0.4:
            question = fill(rng, _TIME_IN, x=some_city(rng))
    else:
        question, reply = fill(rng, _SUM, x=some_sum(rng)[0]), NO_SUM
    d.user(vary(rng, question, keep_case=True))
    d.say(reply, thought="I have no tool for this.")
