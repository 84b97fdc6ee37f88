"""Put together whole conversations, in the proportions the model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from models.data import memory
from models.data.dialogue import Dialogue
from models.data.media_talk import (
    NO_PICTURE,
    NO_SOUND,
    PICTURE_QUESTIONS,
    SOUND_QUESTIONS,
    Heard,
    Seen,
    about_both,
    about_picture,
    about_sound,
    missing_picture,
    missing_sound,
)
from models.data.phrasing import vary
from models.data.smalltalk import FALLBACK, INTENTS, STORY
from models.data.tools import ToolBox, ask_without_tool
from models.data.unknown import unknown_question
from models.data.words import made_up, some_name

SYSTEMS = [
    "You are a helpful assistant.",
    "Be brief.",
    "Answer in one sentence.",
    "You are a friendly assistant.",
    "Answer in English.",
    "You are litertlm-tiny.",
    "Be polite.",
    "Keep it short.",
    "You are a pirate.",
    "Always tell the truth.",
    "You are a test model.",
    "Use the tools when you can.",
    "Be kind and helpful.",
    "Answer shortly and clearly.",
    "You help with weather and sums.",
    "Speak like a teacher.",
    "You are a small model that runs on the device.",
    "Do not use Markdown.",
    "You are a helpful AI assistant.",
]
MEDIA_WEIGHT = 2.0
_WEIGHTS = [intent.weight for intent in INTENTS]


@dataclass
class Media:
    """The pictures and sounds whose encoder output is at hand; a slot holds an index."""

    pictures: Sequence[Seen] = ()
    sounds: Sequence[Heard] = ()


@dataclass
class _State:
    facts: dict[str, str] = field(default_factory=dict)
    seen: Seen | None = None
    heard: Heard | None = None


def make_dialogue(rng: Random, media: Media | None = None) -> Dialogue:
    """Return a whole conversation of at least one turn."""
    while True:
        draw = rng.random()
        if draw < 0.3:
            dialogue = _tool_dialogue(rng)
        elif draw < 0.36:
            dialogue = _begin(rng)
            memory.echo(dialogue, longest=10)
        elif media is not None and media.pictures and draw < 0.8:
            dialogue = _media_dialogue(rng, media)
        else:
            dialogue = _chat_dialogue(rng)
        if any(segment.kind == "say" for segment in dialogue.segments):
            return dialogue


def _system(rng: Random, chance: float) -> str | None:
    if rng.random() > chance:
        return None
    text = rng.choice(SYSTEMS)
    draw = rng.random()
    if draw < 0.15:
        text += " " + rng.choice(SYSTEMS)
    elif draw < 0.25:
        text += f" The user is {some_name(rng)} {made_up(rng)}."
    return text


def _begin(rng: Random, toolbox: ToolBox | None = None, system: float = 0.25) -> Dialogue:
    return Dialogue(
        rng,
        system=_system(rng, system),
        tools=toolbox.tools if toolbox else (),
        thinking=rng.random() < 0.15,
    )


def _chat_dialogue(rng: Random) -> Dialogue:
    d, state = _begin(rng), _State()
    for _ in range(rng.choice((1, 2, 2, 3, 4, 5))):
        _chat_turn(d, state)
    return d


def _chat_turn(d: Dialogue, state: _State, *, with_tools: bool = False) -> None:
    rng = d.rng
    draw = rng.random()
    if draw < 0.46:
        smalltalk(d)
    elif draw < 0.62:
        key = rng.choice(("name", "name", "home", "colour"))
        known = state.facts.get(key)
        if known or rng.random() < 0.25:
            memory.ask(d, state.facts, key)
        else:
            memory.tell(d, state.facts, key)
            if rng.random() < 0.5:
                memory.ask(d, state.facts, key)
    elif draw < 0.71:
        memory.echo(d)
    elif draw < 0.75:
        memory.count(d)
    elif draw < 0.85:
        d.user(vary(rng, unknown_question(rng), keep_case=rng.random() < 0.5))
        d.say(FALLBACK.reply, thought=f"The user {FALLBACK.wish}.")
    elif draw < 0.93:
        if not with_tools:
            ask_without_tool(d, rng.choice(("weather", "sum", "sum", "time")))
    elif state.seen is None and state.heard is None:
        if rng.random() < 0.5:
            d.user(missing_picture(rng))
            d.say(NO_PICTURE, thought="There is no picture.")
        else:
            d.user(missing_sound(rng))
            d.say(NO_SOUND, thought="There is no sound.")


def smalltalk(d: Dialogue) -> None:
    """Add one exchange of small talk."""
    rng = d.rng
    intent = rng.choices(INTENTS, _WEIGHTS)[0]
    d.user(vary(rng, rng.choice(intent.asks)))
    weight = 0.3 if intent.reply is STORY else 1.0
    d.say(intent.reply, thought=f"The user {intent.wish}.", weight=weight)


def _tool_dialogue(rng: Random) -> Dialogue:
    toolbox = ToolBox(rng)
    d, state = _begin(rng, toolbox, 0.35), _State()
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        draw = rng.random()
        if draw < 0.74:
            toolbox.talk(d)
        elif draw < 0.82:
            toolbox.refuse(d)
        else:
            _chat_turn(d, state, with_tools=True)
    return d


def _media_dialogue(rng: Random, media: Media) -> Dialogue:
    d, state = _begin(rng, ToolBox(rng) if rng.random() < 0.06 else None, 0.15), _State()
    if rng.random() < 0.12:
        _chat_turn(d, state)
    for _ in range(rng.choice((1, 1, 1, 2))):
        draw = rng.random()
        if draw < 0.46:
            _picture_turns(d, state, media)
        elif draw < 0.85:
            _sound_turns(d, state, media)
        else:
            _both_turn(d, state, media)
    if rng.random() < 0.15:
        _chat_turn(d, state)
    return d


def _shown(rng: Random, d: Dialogue, slot: tuple[str, int], question: str) -> None:
    """A message of one medium and its question, in either order, or the medium alone."""
    if rng.random() < 0.7:
        d.user(slot, question)
    else:
        d.user(question, slot)


def _picture_turns(d: Dialogue, state: _State, media: Media) -> None:
    rng = d.rng
    index = rng.randrange(len(media.pictures))
    seen = state.seen = media.pictures[index]
    kinds = [rng.choice(PICTURE_QUESTIONS) for _ in range(rng.choice((1, 2, 2, 3)))]
    question, answer = about_picture(rng, seen, kinds[0])
    thought = f"The picture shows {seen.full}."
    if rng.random() < 0.06:
        d.user(("image", index))
        answer = f"I see {seen.full}."
    else:
        _shown(rng, d, ("image", index), question)
    d.say(answer, thought=thought, weight=MEDIA_WEIGHT)
    for kind in kinds[1:]:
        question, answer = about_picture(rng, seen, kind, later=True)
        d.user(question)
        d.say(answer, thought=thought, weight=MEDIA_WEIGHT)


def _sound_turns(d: Dialogue, state: _State, media: Media) -> None:
    rng = d.rng
    index = rng.randrange(len(media.sounds))
    heard = state.heard = media.sounds[index]
    kinds = [rng.choice(SOUND_QUESTIONS) for _ in range(rng.choice((1, 1, 2)))]
    question, answer = about_sound(rng, heard, kinds[0])
    thought = f"In the sound there is {heard.things}."
    if rng.random() < 0.06:
        d.user(("audio", index))
        answer = f"I hear {heard.things}."
    else:
        _shown(rng, d, ("audio", index), question)
    d.say(answer, thought=thought, weight=MEDIA_WEIGHT)
    for kind in kinds[1:]:
        question, answer = about_sound(rng, heard, kind)
        d.user(question)
        d.say(answer, thought=thought, weight=MEDIA_WEIGHT)


def _both_turn(d: Dialogue, state: _State, media: Media) -> None:
    rng = d.rng
    image, audio = rng.randrange(len(media.pictures)), rng.randrange(len(media.sounds))
    seen, heard = media.pictures[image], media.sounds[audio]
    state.seen, state.heard = seen, heard
    slots = [("image", image), ("audio", audio)]
    rng.shuffle(slots)
    draw = rng.random()
    if draw < 0.6:
        question, answer = about_both(rng, seen, heard)
    elif draw < 0.8:
        question, answer = about_picture(rng, seen, rng.choice(("colour", "shape")))
    else:
        question, answer = about_sound(rng, heard, rng.choice(("pitch", "beeps")))
    parts = [*slots, question] if rng.random() < 0.7 else [question, *slots]
    d.user(*parts)
    d.say(
        answer,
        thought=f"I see {seen.full} and hear {heard.things}.",
        weight=MEDIA_WEIGHT,
    )
