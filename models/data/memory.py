"""Turns that need copying or remembering: names, homes, colours, echo, counting."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from models.data.dialogue import Dialogue
from models.data.images import COLOURS
from models.data.phrasing import fill, vary
from models.data.words import NUMBERS, made_up, some_city, some_name

_TELL_NAME = [
    "My name is {x}.",
    "I am {x}.",
    "I'm {x}.",
    "Call me {x}.",
    "You can call me {x}.",
    "Hello, I am {x}.",
    "Hi, my name is {x}.",
    "Hi, I'm {x}.",
    "{x} is my name.",
    "Hello! My name is {x}.",
    "People call me {x}.",
    "Please call me {x}.",
    "Remember my name: {x}.",
    "Hey, {x} here.",
    "This is {x}.",
]
_ASK_NAME = [
    "What is my name?",
    "What's my name?",
    "Who am I?",
    "Do you know my name?",
    "Do you remember my name?",
    "Can you tell me my name?",
    "Tell me my name.",
    "Say my name.",
    "And my name is?",
    "What did I say my name is?",
    "What am I called?",
    "Which name did I tell you?",
    "My name?",
    "Who is talking to you?",
]
_TELL_HOME = [
    "I live in {x}.",
    "My home is {x}.",
    "I am from {x}.",
    "I come from {x}.",
    "I'm from {x}.",
    "My city is {x}.",
    "I am in {x}.",
    "I moved to {x}.",
    "We live in {x}.",
]
_ASK_HOME = [
    "Where do I live?",
    "Where am I from?",
    "Where is my home?",
    "Which city do I live in?",
    "What is my city?",
    "Do you know where I live?",
    "Where do I come from?",
    "Tell me where I live.",
]
_TELL_COLOUR = [
    "My favourite colour is {x}.",
    "I like the colour {x}.",
    "I love {x}.",
    "The colour I like best is {x}.",
    "I like {x} most.",
    "Remember that my favourite colour is {x}.",
]
_ASK_COLOUR = [
    "What is my favourite colour?",
    "Which colour do I like?",
    "What's my favourite colour?",
    "Do you remember my favourite colour?",
    "Which colour do I like best?",
    "What colour do I love?",
]
_ECHO = [
    "Say {x}",
    "Repeat after me: {x}",
    "Repeat: {x}",
    "Please say {x}",
    "Say the word {x}",
    "Echo {x}",
    "Write {x}",
    'Say "{x}"',
    "Just say {x}",
    "Repeat {x}",
    "Answer only with: {x}",
    "Reply with {x}",
]
_COUNT = "Count to {x}.|Count up to {x}.|Can you count to {x}?|Count from one to {x}.|Count from 1 to {x}."


def tell(d: Dialogue, facts: dict[str, str], key: str) -> None:
    """The user tells a fact about himself."""
    rng = d.rng
    if key == "name":
        x = some_name(rng)
        question, reply = fill(rng, _TELL_NAME, x=x), f"Nice to meet you, {x}."
        wish = f"tells me the name {x}"
    elif key == "home":
        x = some_city(rng)
        question, reply = fill(rng, _TELL_HOME, x=x), f"{x} sounds like a nice place."
        wish = f"lives in {x}"
    else:
        x = rng.choice(COLOURS)
        question, reply = fill(rng, _TELL_COLOUR, x=x), f"I will remember that you like {x}."
        wish = f"likes {x}"
    facts[key] = x
    d.user(vary(rng, question, keep_case=True))
    d.say(reply, thought=f"The user {wish}. I will remember it.", weight=1.5)


def ask(d: Dialogue, facts: dict[str, str], key: str) -> None:
    """The user asks for a fact, told before or not."""
    rng = d.rng
    patterns = {"name": _ASK_NAME, "home": _ASK_HOME, "colour": _ASK_COLOUR}[key]
    known = facts.get(key)
    reply = {
        "name": f"Your name is {known}." if known else "You have not told me your name.",
        "home": f"You live in {known}." if known else "You have not told me where you live.",
        "colour": f"You like {known}." if known else "You have not told me which colour you like.",
    }[key]
    thought = f"The user told me: {known}." if known else "The user has not told me that."
    d.user(vary(rng, rng.choice(patterns)))
    d.say(reply, thought=thought, weight=1.5)


def echo(d: Dialogue, longest: int = 4) -> None:
    """The user wants some words repeated: made-up ones mostly, so that only copying helps."""
    rng = d.rng
    makers: tuple[Callable[[], str], ...] = (
        lambda: some_name(rng),
        lambda: some_city(rng),
        lambda: made_up(rng),
        lambda: made_up(rng),
        lambda: str(rng.randint(0, 99999)),
    )
    if rng.random() < 0.15:
        x = rng.choice(("Hello", "Hello world", "Yes", "No", "OK", "Ready", "Done", "Pong"))
    else:
        x = " ".join(rng.choice(makers)() for _ in range(rng.randint(1, longest)))
    d.user(vary(rng, fill(rng, _ECHO, x=x), keep_case=True))
    d.say(x, thought="The user wants me to repeat that.", weight=1.5)


def count(d: Dialogue) -> None:
    """The user wants the model to count."""
    rng = d.rng
    last = rng.choice((3, 5, 5, 10, 10, 20, 100, rng.randint(2, 30), rng.randint(2, 20)))
    word = NUMBERS[last] if last < len(NUMBERS) and rng.random() < 0.6 else str(last)
    if last == 100 and rng.random() < 0.8:
        word = rng.choice(("one hundred", "a hundred", "100", "hundred"))
    d.user(vary(rng, fill(rng, _COUNT.split("|"), x=word)))
    d.say(
        " ".join(str(i) for i in range(1, last + 1)),
        thought=f"I count from 1 to {last}.",
        weight=0.3 if last > 30 else 1.0,
    )


def sum_without_tool(rng: Random) -> str:
    """A sum, asked without a calculator at hand."""
    x, y = rng.randint(0, 999), rng.randint(1, 99)
    sign = rng.choice(("+", "-", "*", "/", "plus", "minus", "times"))
    return rng.choice(
        (f"What is {x} {sign} {y}?", f"{x} {sign} {y}", f"How much is {x} {sign} {y}?", f"{x}{sign}{y}=?")
    )
