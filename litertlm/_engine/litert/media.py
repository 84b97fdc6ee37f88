"""How many tokens images and sound take."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable

from litertlm.messages import Audio, Image, Message

__all__ = ["audio_tokens", "media_parts", "most_tokens", "shares"]

# The engine puts a token before and one after every image and recording.
FRAME_TOKENS = 2
# Sound is cut into frames of 10 ms, of which four make a token.
FRAMES_PER_SECOND = 100
FRAMES_PER_TOKEN = 4


def media_parts(messages: Iterable[Message]) -> list[Image | Audio]:
    """The images and recordings of messages."""
    return [part for message in messages for part in message.parts if isinstance(part, Image | Audio)]


def audio_tokens(recording: Audio) -> int:
    """Tokens of an encoded recording, those around it included; measured with models of 25 tokens a second.

    Encoders with fewer tokens a second exist; for them it is an upper bound.
    """
    if not isinstance(recording.source, bytes):
        raise TypeError("media must be encoded before they reach the engine")
    with wave.open(io.BytesIO(recording.source)) as file:
        frames: int = file.getnframes() * FRAMES_PER_SECOND // file.getframerate()
    return max(1, -(-frames // FRAMES_PER_TOKEN)) + FRAME_TOKENS


def most_tokens(medium: Image | Audio, image_tokens: int) -> int:
    """The most tokens that a medium takes, when one image takes at most ``image_tokens``."""
    return image_tokens + FRAME_TOKENS if isinstance(medium, Image) else audio_tokens(medium)


def shares(media: list[Image | Audio], tokens: int) -> tuple[int, int]:
    """How many of ``tokens``, which all of ``media`` took, were for images, and how many for sound.

    Of both kinds in one prompt the sound is computed, and the images get the rest.
    """
    sounds = [medium for medium in media if isinstance(medium, Audio)]
    if len(sounds) == len(media):
        return 0, tokens if sounds else 0
    sound = min(tokens, sum(map(audio_tokens, sounds)))
    return tokens - sound, sound
