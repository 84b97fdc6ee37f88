"""What is known before the first message can be computed before it."""

from __future__ import annotations

from litertlm import Client

SYSTEM = "You are a patient assistant of a public library. " * 12


def test_the_first_turn_finds_what_was_computed(native: Client) -> None:
    """All of it or a part, and says what it says without."""
    with native.chat(SYSTEM + "A", prefill=True, sampler={"temperature": 0}) as early:
        answer = early.send("Hello!", max_output_tokens=8)
    with native.chat(SYSTEM + "A", sampler={"temperature": 0}) as late:
        assert late.send("Hello!", max_output_tokens=8).text == answer.text


def test_a_chat_may_be_closed_while_it_is_computed(native: Client) -> None:
    """Nothing is left running."""
    for number in range(20):
        native.chat(SYSTEM + str(number), prefill=True).close()
    assert native.generate("Hello!", max_output_tokens=2).text


def test_with_nothing_known_there_is_nothing_to_compute(native: Client) -> None:
    """No system message, no tools."""
    with native.chat(prefill=True) as chat:
        assert chat.send("Hello!", max_output_tokens=2).text
