"""Tokens of images and of sound, and what a message will take."""

from __future__ import annotations

import io
import wave

import pytest

from litertlm import Audio, Image, OptionError
from litertlm._engine.litert.media import audio_tokens
from litertlm._engine.seam import Conversation

from .conftest import Open, say, user


def silence(frames: int, rate: int = 16_000) -> Audio:
    """A recording of so many frames."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(bytes(2 * frames))
    return Audio(file.getvalue())


@pytest.mark.parametrize(
    ("frames", "rate"),
    [
        (80, 16_000),
        (640, 16_000),
        (800, 16_000),
        (16_000, 16_000),
        (16_160, 16_000),
        (130_720, 16_000),
        (4_000, 8_000),
    ],
)
def test_sound_takes_the_tokens_that_are_computed(opened: Open, frames: int, rate: int) -> None:
    """Exactly, for any length."""
    end = say(opened(), silence(frames, rate), "Hello!", max_output_tokens=1).end
    assert end.audio_tokens == audio_tokens(silence(frames, rate))
    assert end.image_tokens == 0


def test_each_kind_has_its_tokens(opened: Open, png: bytes) -> None:
    """Alone and together they are the same, in the first turn and in later ones, read live and again."""
    image, sound = Image(png), silence(16_000)
    alone = say(opened(), image, "Hello!", max_output_tokens=1).end.image_tokens
    heard = say(opened(), sound, "Hello!", max_output_tokens=1).end.audio_tokens
    conversation = opened()
    for _ in range(2):
        end = say(conversation, image, sound, "Hello!", image, max_output_tokens=1).end
        assert (end.image_tokens, end.audio_tokens) == (2 * alone, heard)
    conversation = opened(*conversation.messages)  # type: ignore[attr-defined]
    end = say(conversation, "Hello!", max_output_tokens=1).end
    assert (end.image_tokens, end.audio_tokens) == (4 * alone, 2 * heard)
    assert say(conversation, "Hello!").end.image_tokens == 0


def used_and_needed(conversation: Conversation, *parts: object) -> int:
    """What a message is expected to make of the token count, before its reply."""
    return conversation.token_count + conversation.count(user(*parts))  # type: ignore[arg-type]


def test_a_message_is_counted_before_it_is_sent(opened: Open, png: bytes) -> None:
    """Text and sound exactly, images as their upper bound; in a live conversation and after going back."""
    conversation = opened()
    for parts in (("Hello!",), (silence(20_000), "What?"), ("And now?",)):
        expected = used_and_needed(conversation, *parts)
        end = say(conversation, *parts, max_output_tokens=3).end
        assert end.reused_tokens + end.prompt_tokens == expected
    mark = conversation.mark()
    say(conversation, "Never mind.")
    conversation.rewind(mark)
    expected = used_and_needed(conversation, "Hello!")
    assert say(conversation, "Hello!").end.prompt_tokens == expected
    bound = conversation.count(user(Image(png), "Hello!"))
    assert say(conversation, Image(png), "Hello!").end.prompt_tokens <= bound


def test_the_tokens_of_an_image_can_be_limited(opened: Open, png: bytes) -> None:
    """Down to one, up to the model's; for that turn only."""
    conversation = opened()
    usual = say(opened(), Image(png), "Hello!", max_output_tokens=1).end.image_tokens
    few = say(
        conversation, Image(png), "Hello!", max_output_tokens=1, visual_token_budget=10
    ).end.image_tokens
    assert few <= 12 < usual
    assert say(conversation, Image(png), "Hello!", max_output_tokens=1).end.image_tokens == usual
    with pytest.raises(OptionError, match=r"from 1 to \d+ with this model, not 100000"):
        say(conversation, Image(png), "Hello!", visual_token_budget=100_000)
