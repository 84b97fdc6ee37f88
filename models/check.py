"""Ask the exported model unseen questions in the real engine and count the right answers.

`python -m models.check FILE.litertlm [--show]`. The questions come from the generators of the training
data, with other seeds, other pictures and sounds, and cities and names that training never saw; some
are written by hand. Sampling is the model file's own default. An answer counts when it is exactly the
expected text, or the expected call.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import litert_lm
from PIL import Image

from models.data import memory, words
from models.data.dialogue import Call, Dialogue
from models.data.images import make_picture
from models.data.media_talk import Heard, Seen, about_both, about_picture, about_sound
from models.data.mix import smalltalk
from models.data.phrasing import vary
from models.data.smalltalk import FALLBACK, INTENTS
from models.data.sounds import make_sound, wav_bytes
from models.data.tools import ToolBox, ask_without_tool
from models.data.unknown import unknown_question

HAND_WRITTEN = (
    ("Hello my friend", 0),
    ("hi, nice to see you", 0),
    ("Good morning to you!", 0),
    ("Who exactly are you?", 1),
    ("tell me who you are", 1),
    ("What's this model called?", 1),
    ("What things can you do?", 2),
    ("What are you capable of?", 2),
    ("What is litertlm about?", 4),
    ("How can I install the litertlm package?", 5),
    ("Thank you for your help", 17),
    ("thanks a bunch!", 17),
    ("Good bye then", 18),
    ("See you tomorrow", 18),
    ("Do you need an internet connection?", 11),
    ("How are you doing today?", 14),
    ("Please tell me a funny joke", 24),
    ("Could you tell me a story?", 25),
    ("Are you a human being?", 19),
    ("How many parameters have you got?", 12),
)
"""Questions nobody generated, and the number of the intent they mean."""


@dataclass
class Event:
    """A user message or tool results, and what should come back."""

    message: Any
    reply: str | None = None
    calls: tuple[Call, ...] = ()
    thought: bool = False


@dataclass
class Script(Dialogue):
    """A dialogue that also remembers what to send to the engine and what to expect."""

    number: int = 0
    events: list[Event] = field(default_factory=list)
    media: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def user(self, *parts: Any) -> None:
        """Send a user message."""
        contents = []
        for part in parts:
            if isinstance(part, str):
                contents.append(litert_lm.Content.Text(part))
            elif part[0] == "image":
                contents.append(litert_lm.Content.ImageBytes(self.media[part]))
            else:
                contents.append(litert_lm.Content.AudioBytes(self.media[part]))
        self.events.append(Event(litert_lm.Contents.of(*contents)))

    def say(self, reply: str, *, thought: str = "", weight: float = 1.0) -> None:
        """Expect a reply."""
        self.events[-1].reply = reply
        self.events[-1].thought = self.thinking and bool(thought)

    def call(self, *calls: Call, thought: str = "", weight: float = 1.0) -> None:
        """Expect calls."""
        self.events[-1].calls = calls
        self.events[-1].thought = self.thinking and bool(thought)

    def results(self, *results: tuple[str, Any]) -> None:
        """Send tool results."""
        content = [{"type": "tool_response", "name": n, "response": r} for n, r in results]
        self.events.append(Event({"role": "tool", "content": content}))


class _Declared(litert_lm.Tool):
    """A tool that is only declared."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description

    def get_tool_description(self) -> dict[str, Any]:
        return self._description

    def execute(self, param: Any) -> Any:
        raise AssertionError("calls are checked, not made")


@contextmanager
def unseen_words() -> Iterator[None]:
    """Draw names and cities that training never saw."""
    kept = words.NAMES, words.CITIES
    words.NAMES, words.CITIES = words.UNSEEN_NAMES, words.UNSEEN_CITIES
    try:
        yield
    finally:
        words.NAMES, words.CITIES = kept


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _picture(d: Script) -> tuple[tuple[str, int], Seen]:
    picture = make_picture(d.rng)
    slot = ("image", len(d.media))
    d.media[slot] = _png(picture.image)
    return slot, Seen(picture.shape, picture.colour, picture.background, picture.count)


def _sound(d: Script) -> tuple[tuple[str, int], Heard]:
    sound = make_sound(d.rng)
    slot = ("audio", len(d.media))
    d.media[slot] = wav_bytes(sound.samples)
    return slot, Heard(sound.pitch, sound.beeps)


def _see(kind: str) -> Callable[[Script], None]:
    def play(d: Script) -> None:
        slot, seen = _picture(d)
        question, answer = about_picture(d.rng, seen, kind)
        d.user(slot, question)
        d.say(answer, thought="...")

    return play


def _hear(kind: str) -> Callable[[Script], None]:
    def play(d: Script) -> None:
        slot, heard = _sound(d)
        question, answer = about_sound(d.rng, heard, kind)
        d.user(slot, question)
        d.say(answer, thought="...")

    return play


def _see_then_ask(d: Script) -> None:
    slot, seen = _picture(d)
    for later, kind in enumerate(d.rng.sample(("colour", "shape", "describe", "background"), 2)):
        question, answer = about_picture(d.rng, seen, kind, later=bool(later))
        d.user(*([] if later else [slot]), question)
        d.say(answer)


def _see_and_hear(d: Script) -> None:
    slot, seen = _picture(d)
    slot2, heard = _sound(d)
    question, answer = about_both(d.rng, seen, heard)
    d.user(slot, slot2, question)
    d.say(answer)


def _remember(key: str) -> Callable[[Script], None]:
    def play(d: Script) -> None:
        facts: dict[str, str] = {}
        with unseen_words():
            memory.tell(d, facts, key)
        smalltalk(d)
        memory.ask(d, facts, key)

    return play


def _unknown(d: Script) -> None:
    d.user(vary(d.rng, unknown_question(d.rng), keep_case=True))
    d.say(FALLBACK.reply)


def _hand_written(d: Script) -> None:
    question, intent = HAND_WRITTEN[d.number]
    d.user(question)
    d.say(INTENTS[intent].reply)


def _with_tool(kind: str) -> Callable[[Script], None]:
    def play(d: Script) -> None:
        box = ToolBox(d.rng, kinds=(kind,))
        d.tools = box.tools
        with unseen_words():
            box.talk(d)

    return play


def _without_tool(d: Script) -> None:
    ask_without_tool(d, d.rng.choice(("weather", "sum", "time")))


SKILLS: dict[str, tuple[int, bool, Callable[[Any], None]]] = {
    "small talk, phrasings as in training": (40, False, smalltalk),
    "small talk, hand-written": (len(HAND_WRITTEN), False, _hand_written),
    "remembers a name (3 turns)": (20, False, _remember("name")),
    "remembers a home (3 turns)": (10, False, _remember("home")),
    "repeats words": (20, False, memory.echo),
    "counts aloud": (10, False, memory.count),
    "says that it does not know": (20, False, _unknown),
    "thinks, then answers (small talk)": (10, True, smalltalk),
    "picture: colour": (40, False, _see("colour")),
    "picture: shape": (40, False, _see("shape")),
    "picture: number of shapes": (20, False, _see("count")),
    "picture: background": (20, False, _see("background")),
    "picture: description": (30, False, _see("describe")),
    "picture: yes or no": (20, False, _see("is colour")),
    "picture, then a question by text": (20, False, _see_then_ask),
    "picture, thinking": (10, True, _see("describe")),
    "sound: pitch": (40, False, _hear("pitch")),
    "sound: number of beeps": (40, False, _hear("beeps")),
    "sound: description": (20, False, _hear("listen")),
    "picture and sound together": (20, False, _see_and_hear),
    "weather tool: call, then answer": (40, False, _with_tool("weather")),
    "calculator tool: call, then answer": (40, False, _with_tool("sum")),
    "add/multiply tools: call, then answer": (20, False, _with_tool("pair")),
    "clock tool: call, then answer": (20, False, _with_tool("time")),
    "tools, thinking": (10, True, _with_tool("weather")),
    "admits a missing tool": (20, False, _without_tool),
}


def _expected(event: Event) -> str:
    if event.calls:
        return json.dumps([[c.name, c.arguments] for c in event.calls], sort_keys=True)
    return event.reply or ""


def _answer(event: Event, response: Any) -> str:
    calls = response.get("tool_calls") or []
    if event.calls or calls:
        pairs = [[c["function"]["name"], c["function"]["arguments"]] for c in calls]
        return json.dumps(pairs, sort_keys=True)
    parts = response.get("content") or []
    return "".join(part.get("text", "") for part in parts)


def _play(engine: Any, script: Script, show: Callable[[str], None]) -> tuple[int, int]:
    right = 0
    options: dict[str, Any] = {"max_output_tokens": 400}
    if script.tools:
        options["tools"] = [_Declared(tool) for tool in script.tools]
        options["automatic_tool_calling"] = False
    if script.thinking:
        options["extra_context"] = {"enable_thinking": True}
    with engine.create_conversation(**options) as chat:
        for event in script.events:
            try:
                response = chat.send_message(event.message)
                got = _answer(event, response)
                thought = bool((response.get("channels") or {}).get("thought"))
            except RuntimeError as error:
                got, thought = f"error: {error}", False
            good = got == _expected(event) and thought == event.thought
            right += good
            if not good:
                show(f"   {_told(event.message)!r} -> {got!r}, expected {_expected(event)!r}")
    return right, len(script.events)


def _told(message: Any) -> str:
    if isinstance(message, dict):
        return json.dumps(message["content"])
    texts = [getattr(part, "text", f"<{type(part).__name__}>") for part in message.contents]
    return " ".join(texts)


def report(
    file: Path, *, show: bool = False, only: Sequence[str] = (), seed: str = "check"
) -> dict[str, dict[str, int]]:
    """Play every skill and return right answers and turns by skill."""
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    cpu = litert_lm.Backend.CPU()
    scores: dict[str, dict[str, int]] = {}
    with litert_lm.Engine(
        str(file), backend=cpu, vision_backend=cpu, audio_backend=cpu, cache_dir=":nocache"
    ) as engine:
        for skill, (times, thinking, play) in SKILLS.items():
            if only and not any(word in skill for word in only):
                continue
            right = total = 0
            for number in range(times):
                script = Script(Random(f"{seed} {skill} {number}"), thinking=thinking, number=number)
                play(script)
                good, turns = _play(engine, script, print if show else lambda line: None)
                right, total = right + good, total + turns
            scores[skill] = {"right": right, "of": total}
            print(f"[check] {skill:42} {right:3}/{total}", flush=True)
    right = sum(score["right"] for score in scores.values())
    total = sum(score["of"] for score in scores.values())
    print(f"[check] {file.name}: {right}/{total} = {right / total:.1%}", flush=True)
    return scores


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    parser.add_argument("--only", nargs="*", default=(), help="skills whose name holds one of these")
    parser.add_argument("--seed", default="check", help="ask other questions")
    options = parser.parse_args()
    report(options.file, show=options.show, only=options.only, seed=options.seed)


if __name__ == "__main__":
    main()
