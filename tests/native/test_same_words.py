"""Greedy answers of our own engine and of the official one, over many prompts."""

from __future__ import annotations

import itertools

import pytest

from litertlm import Client, tool

GREEDY = {"temperature": 0}

NAMES = ("Ada", "Bo", "Carla", "Dmitri", "Eve", "Farid", "Greta", "Hugo", "Ines", "Jun")
TOPICS = ("a robot", "a cat", "the sea", "winter", "a small garden", "the moon", "a train", "bread", "rain")
ASKED = (
    "Hello! Who are you?",
    "Hi",
    "Good morning",
    "What can you do?",
    "What is litertlm?",
    "Tell me a story.",
    "Tell me a joke.",
    "How are you?",
    "Thank you!",
    "Bye",
    "Can you see pictures?",
    "Can you hear?",
    "Which tools do you have?",
    "What is the capital of France?",
    "Write a poem.",
    "¿Qué tal?",
    "Ünïcödé 🙂?",
    "    spaces   ",
    "A\nB\n\nC",
    "",
)
PROMPTS = [
    *filter(None, ASKED),
    *(f"My name is {name}." for name in NAMES),
    *(f"I am {name}. What is my name?" for name in NAMES),
    *(f"Tell me about {topic}." for topic in TOPICS),
    *(f"What is {a} plus {b}?" for a, b in itertools.product((1, 7, 12, 40, 99), (2, 5, 31))),
    *(f"What is {a} times {b}?" for a, b in itertools.product((3, 8, 15), (4, 9, 20))),
    *(f"How is the weather in {city}?" for city in ("Paris", "Rome", "Oslo", "Lima", "Kyoto")),
    *(f"Say {word}." for word in ("yes", "no", "hello", "red", "blue", "one two three")),
    *(f"{name}, tell me about {topic}" for name, topic in itertools.product(NAMES, TOPICS)),
    *(f"Remember the number {number}." for number in range(30)),
]
LEAST = 200
# Where the two likeliest tokens lie closer together than two roundings of one and the same product, either
# may win.
MOST_OTHERWISE = 0.03


def answers(client: Client, prompts: list[str]) -> list[str]:
    """Greedy answers, each in a chat of its own."""
    return [client.generate(prompt, sampler=GREEDY, max_output_tokens=48).text for prompt in prompts]


def test_answers_are_the_official_ones(native: Client, official: Client) -> None:
    """Nearly all to the letter; the rest differs only after a common beginning."""
    assert len(PROMPTS) >= LEAST
    ours, theirs = answers(native, PROMPTS), answers(official, PROMPTS)
    otherwise = [
        (prompt, mine, other)
        for prompt, mine, other in zip(PROMPTS, ours, theirs, strict=True)
        if mine != other
    ]
    assert len(otherwise) <= MOST_OTHERWISE * len(PROMPTS), otherwise


def test_scores_follow_the_chain_rule(native: Client) -> None:
    """What follows what is as likely in one piece as piece by piece."""
    before, first, second = "Hello, I am", " a small", " model."
    whole = native.score(first + second, after=before)
    parts = native.score(first, after=before), native.score(second, after=before + first)
    assert list(whole.tokens) == pytest.approx([*parts[0].tokens, *parts[1].tokens], abs=1e-4)
    assert whole.total == pytest.approx(sum(whole.tokens))


def test_what_is_written_greedily_is_the_likeliest(native: Client) -> None:
    """No other word in its place has a better score."""
    prompt = "<|turn>user\nHello!<turn|>\n<|turn>model\n"
    said = native.complete(prompt, sampler=GREEDY, max_output_tokens=1).text
    likeliest = native.score(said, after=prompt).total
    for word in ("Yes", "No", "The", "zebra"):
        assert native.score(word, after=prompt).total < likeliest


def test_tools_are_called_as_officially(native: Client, official: Client) -> None:
    """The same calls with the same arguments, and the same answers to their results."""

    @tool
    def calculator(expression: str) -> str:
        """Evaluate an arithmetic expression.

        Args:
            expression: What to compute, for example "2 + 3".
        """
        return expression.replace(" ", "")

    for question in ("What is 12 times 9?", "What is 7 plus 30?", "What is 100 minus 58?"):
        said = []
        for client in (native, official):
            with client.chat(tools=[calculator], sampler=GREEDY) as chat:
                said.append((chat.send(question, max_output_tokens=64).text, len(chat.history)))
        assert said[0] == said[1]
