"""The text the tokenizer is trained on: generated conversations without their markers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from models.data.media_talk import Heard, Seen
from models.data.mix import Media, make_dialogue

_MEDIA = Media(
    [Seen("circle", "red", "white", 1), Seen("star", "blue", "grey", 3), Seen("plain", "green", "green", 0)],
    [Heard("high", 1), Heard("low", 4)],
)


def corpus(size: int = 6000, seed: int = 0) -> Iterator[str]:
    """Yield the text of `size` conversations."""
    for number in range(size):
        dialogue = make_dialogue(Random(f"tokenizer {seed} {number}"), _MEDIA)
        for segment in dialogue.segments:
            if segment.text:
                yield segment.text
