"""Questions about pictures and sounds, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from models.data.images import COLOURS
from models.data.phrasing import fill, vary
from models.data.words import NUMBERS, a


@dataclass(frozen=True)
class Seen:
    """What is on a picture, without its pixels."""

    shape: str
    colour: str
    background: str
    count: int

    @property
    def things(self) -> str:
        """The noun phrase: "a red circle", "two red circles", "plain red"."""
        if self.shape == "plain":
            return f"plain {self.colour}"
        if self.count == 1:
            return a(f"{self.colour} {self.shape}")
        return f"{NUMBERS[self.count]} {self.colour} {self.shape}s"

    @property
    def full(self) -> str:
        """The noun phrase with the background."""
        if self.shape == "plain":
            return f"only {self.things}"
        return f"{self.things} on {a(self.background)} background"


@dataclass(frozen=True)
class Heard:
    """What is in a sound, without its samples."""

    pitch: str
    beeps: int

    @property
    def things(self) -> str:
        """The noun phrase: "one high beep", "three low beeps"."""
        return f"{NUMBERS[self.beeps]} {self.pitch} beep{'' if self.beeps == 1 else 's'}"


_COLOUR = [
    "What colour is this?",
    "What colour is it?",
    "Which colour is it?",
    "What is the colour?",
    "Name the colour.",
    "What colour do you see?",
    "Tell me the colour.",
    "Colour?",
    "What colour is the picture?",
    "What is the colour of the shape?",
    "What colour is the {shape}?",
    "Which colour is this?",
    "What colour is the object?",
    "What colour can you see?",
    "What colour is the thing?",
    "The colour?",
    "What colour is shown?",
    "What colour is in the image?",
    "Say the colour.",
    "What is the main colour?",
]
_SHAPE = [
    "What shape is this?",
    "What shape is it?",
    "Which shape is it?",
    "Name the shape.",
    "What is the shape?",
    "Shape?",
    "What shape do you see?",
    "Tell me the shape.",
    "What kind of shape is this?",
    "Which shape is this?",
    "What shape is in the picture?",
    "What form is this?",
    "What shape is shown?",
    "Say the shape.",
    "What is the shape of the object?",
    "What shape can you see?",
    "The shape?",
]
_DESCRIBE = [
    "What is in this picture?",
    "Describe the image.",
    "Describe this picture.",
    "What do you see?",
    "What is this?",
    "What can you see?",
    "Describe it.",
    "What is on the picture?",
    "What is in the image?",
    "Tell me what you see.",
    "Describe what you see.",
    "What does the picture show?",
    "Caption this image.",
    "What's this?",
    "What's in the picture?",
    "Look at this.",
    "Please describe the picture.",
    "Describe.",
    "What does this image show?",
    "What is shown here?",
    "What am I looking at?",
    "Can you see this?",
    "Describe this image in one sentence.",
    "What do you see in this image?",
    "What's in this image?",
]
_BACKGROUND = [
    "What colour is the background?",
    "And the background?",
    "What is the background?",
    "The background?",
    "Which colour is the background?",
    "What is behind it?",
    "What background colour is it?",
    "Name the background colour.",
    "Background?",
    "What is the background colour?",
]
_HOW_MANY = [
    "How many shapes are there?",
    "How many do you see?",
    "How many {shape}s are there?",
    "How many are there?",
    "Count the shapes.",
    "How many objects are in the picture?",
    "How many {shape}s do you see?",
    "Count the {shape}s.",
    "What is the number of shapes?",
    "How many things are there?",
]
_IS_COLOUR = ["Is it {x}?", "Is this {x}?", "Is the {shape} {x}?", "Do you see {x}?", "Is the shape {x}?"]
_IS_SHAPE = ["Is it {x}?", "Is this {x}?", "Do you see {x}?", "Is there {x}?", "Is that {x}?"]

_AND_COLOUR = [
    "And the colour?",
    "What colour was it?",
    "And what colour?",
    "Which colour was that?",
    "What about the colour?",
    "What colour was the picture?",
    "And its colour?",
    "What was the colour?",
]
_AND_SHAPE = [
    "And the shape?",
    "What shape was it?",
    "And what shape?",
    "Which shape was that?",
    "What about the shape?",
    "And its shape?",
    "What was the shape?",
]
_AND_DESCRIBE = [
    "What was in the picture?",
    "Describe the picture again.",
    "What did you see?",
    "Describe it.",
    "What was it?",
    "Tell me more about the picture.",
    "And what is it?",
    "Describe the picture.",
]

_PITCH = [
    "Is this sound high or low?",
    "Is it high or low?",
    "Which pitch is it?",
    "What pitch is this?",
    "High or low?",
    "Is the tone high or low?",
    "What is the pitch?",
    "Tell me the pitch.",
    "Pitch?",
    "Which pitch?",
    "Is this a high or a low sound?",
    "Was the sound high or low?",
    "How high is the sound?",
    "And the pitch?",
    "Is the beep high or low?",
    "Is this low or high?",
    "What kind of tone is it?",
    "Are they high or low?",
]
_BEEPS = [
    "How many beeps?",
    "How many beeps do you hear?",
    "How many beeps are there?",
    "Count the beeps.",
    "How many sounds do you hear?",
    "How many tones are there?",
    "How many times does it beep?",
    "What is the number of beeps?",
    "How often does it beep?",
    "Can you count the beeps?",
    "Count the tones.",
    "How many?",
    "How many beeps were there?",
    "And how many beeps?",
    "How many signals are there?",
]
_LISTEN = [
    "What do you hear?",
    "What is this sound?",
    "Describe the sound.",
    "What is in this audio?",
    "What is that?",
    "Describe this audio.",
    "What can you hear?",
    "Tell me what you hear.",
    "Listen to this.",
    "What sound is it?",
    "What did you hear?",
    "Describe what you hear.",
    "What is this?",
    "What's this sound?",
    "Describe the audio.",
    "Transcribe this.",
    "What do you hear in this clip?",
]
_IS_PITCH = ["Is it {x}?", "Is the sound {x}?", "Is this a {x} sound?", "Is it a {x} tone?", "Was it {x}?"]
_BOTH = [
    "Describe both.",
    "What do you see and hear?",
    "What are these?",
    "Describe the picture and the sound.",
    "What is in the picture and in the sound?",
    "Tell me about both.",
    "What do you see and what do you hear?",
    "Describe everything.",
    "What are these two?",
]

PICTURE_QUESTIONS = ("colour", "shape", "describe", "background", "count", "is colour", "is shape")
SOUND_QUESTIONS = ("pitch", "beeps", "beeps", "listen", "listen", "is pitch")


def about_picture(rng: Random, seen: Seen, kind: str, *, later: bool = False) -> tuple[str, str]:
    """Return a question of the given kind and its answer; `later` for a turn after the picture's."""
    plain = seen.shape == "plain"
    noun = rng.choice(("shape", "picture", "image")) if plain else seen.shape
    many = seen.count > 1
    if kind == "colour":
        patterns = _AND_COLOUR if later and rng.random() < 0.6 else _COLOUR
        question, answer = fill(rng, patterns, shape=noun), f"The colour is {seen.colour}."
    elif kind == "shape":
        patterns = _AND_SHAPE if later and rng.random() < 0.6 else _SHAPE
        question = rng.choice(patterns)
        answer = f"The shape is {a(seen.shape)}."
        if plain:
            answer = f"There is no shape, only plain {seen.colour}."
    elif kind == "describe":
        patterns = _AND_DESCRIBE if later else _DESCRIBE
        question, answer = rng.choice(patterns), f"I see {seen.full}."
    elif kind == "background":
        question = rng.choice(_BACKGROUND)
        answer = f"The background is {seen.background}."
    elif kind == "count":
        question = fill(rng, _HOW_MANY, shape=rng.choice(("shape", "object")) if plain else seen.shape)
        there = "There is one" if seen.count == 1 else f"There are {NUMBERS[seen.count]}"
        answer = "There is no shape." if plain else f"{there} {seen.shape}{'s' if many else ''}."
    elif kind == "is colour":
        asked = seen.colour if rng.random() < 0.5 else rng.choice(COLOURS)
        question = fill(rng, _IS_COLOUR, x=asked, shape=noun)
        answer = f"The colour is {seen.colour}, {_yes_or_not(asked, seen.colour)}."
    else:
        shapes = ("circle", "square", "triangle", "star")
        asked = seen.shape if rng.random() < 0.5 and not plain else rng.choice(shapes)
        question = fill(rng, _IS_SHAPE, x=a(asked))
        answer = f"I see {seen.things}, {_yes_or_not(a(asked), a(seen.shape))}."
    return vary(rng, question), answer


def _yes_or_not(asked: str, true: str) -> str:
    """End an answer to a yes-or-no question: the fact comes first, which is easier to get right."""
    return "yes" if asked == true else f"not {asked}"


def about_sound(rng: Random, heard: Heard, kind: str) -> tuple[str, str]:
    """Return a question of the given kind and its answer."""
    if kind == "pitch":
        question, answer = rng.choice(_PITCH), f"The sound is {heard.pitch}."
    elif kind == "beeps":
        question = rng.choice(_BEEPS)
        answer = f"I hear {NUMBERS[heard.beeps]} beep{'' if heard.beeps == 1 else 's'}."
    elif kind == "listen":
        question, answer = rng.choice(_LISTEN), f"I hear {heard.things}."
    else:
        asked = rng.choice(("high", "low"))
        question = fill(rng, _IS_PITCH, x=asked)
        answer = f"The sound is {heard.pitch}, {_yes_or_not(asked, heard.pitch)}."
    return vary(rng, question), answer


def about_both(rng: Random, seen: Seen, heard: Heard) -> tuple[str, str]:
    """Return a question about a picture and a sound together, and its answer."""
    return vary(rng, rng.choice(_BOTH)), f"I see {seen.full}, and I hear {heard.things}."


NO_PICTURE = "I see no picture. Please send me one."
NO_SOUND = "I hear no sound. Please send me one."


def missing_picture(rng: Random) -> str:
    """A question about a picture, when there is none."""
    shape = rng.choice(("circle", "square", "triangle", "star"))
    patterns = (_COLOUR, _SHAPE, _BACKGROUND, _HOW_MANY, _DESCRIBE[:2] + _DESCRIBE[7:9])
    return vary(rng, fill(rng, rng.choice(patterns), shape=shape))


def missing_sound(rng: Random) -> str:
    """A question about a sound, when there is none."""
    return vary(rng, rng.choice(rng.choice((_PITCH, _BEEPS, _LISTEN[:1] + _LISTEN[2:3]))))
