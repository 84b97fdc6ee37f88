"""Both ends of every comparison: the text layer, and the official engine, on the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from litertlm import Client
from litertlm._engine.native.text import TextProcessor
from litertlm._engine.seam import Delta, Engine, Preface, TurnEnd
from litertlm.bundled import bundled_model
from litertlm.messages import Message, Text
from litertlm.modelfile import open_model
from litertlm.options import TurnOptions

from .variants import write_variant

PLAIN = "{{ messages[-1].content[0].text }}"


class Sides(NamedTuple):
    """The text layer and the official engine for one model."""

    ours: TextProcessor
    official: Engine

    def reply(self, preface: Preface, options: TurnOptions) -> tuple[list[Delta], TurnEnd]:
        """What the official engine generates."""
        conversation = self.official.open(preface)
        try:
            turn = conversation.prepare(Message("user", (Text("Hi"),)), options)
            turn.start()
            deltas: list[Delta] = []
            while turn.end is None:
                deltas += turn.take(None)
            return deltas, turn.end
        finally:
            conversation.close()


def open_sides(path: str | Path) -> Sides:
    """Both for a model file."""
    with open_model(path) as file:
        ours = TextProcessor(file)
    client = Client(
        path, engine="litert", vision_backend="off", audio_backend="off", threads=1, cache_dir="off"
    )
    return Sides(ours, client._engine)


@pytest.fixture(scope="session")
def sides_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sides]]:
    """Both for a variant of the bundled model: its name, then as for ``write_variant``; made once."""
    folder, made = tmp_path_factory.mktemp("variants"), dict[str, Sides]()

    def make(name: str, metadata: dict[str, Any], *tokenizer: Any) -> Sides:
        if name not in made:
            path = folder / f"{name}.litertlm"
            made[name] = open_sides(write_variant(path, metadata, *tokenizer))
        return made[name]

    yield make
    for sides in made.values():
        sides.official.close()


@pytest.fixture(scope="session")
def family(sides_of: Callable[..., Sides]) -> Callable[[str], Sides]:
    """Both for the bundled model under another family's name, with a channel for thoughts."""

    def make(name: str) -> Sides:
        fences = {"code_fence_start": "<function", "code_fence_end": "</function>"}
        channel = {"channel_name": "thought", "start": "<|channel>thought\n", "end": "<channel|>"}
        metadata = {
            "llm_model_type": {name: fences if name == "minicpm5" else {}},
            "jinja_prompt_template": PLAIN,
            "channels": [channel],
        }
        return sides_of(name, metadata)

    return make


def models() -> list[Path]:
    """The bundled model, and those in the folder that $LITERTLM_TEST_MODELS names."""
    folder = os.environ.get("LITERTLM_TEST_MODELS")
    return [Path(bundled_model()), *(sorted(Path(folder).glob("*.litertlm")) if folder else [])]


@pytest.fixture(scope="session", params=models(), ids=lambda path: path.stem)
def sides(request: pytest.FixtureRequest) -> Iterator[Sides]:
    """Both for each of the models under test."""
    opened = open_sides(request.param)
    yield opened
    opened.official.close()


@pytest.fixture(scope="session")
def processor() -> TextProcessor:
    """The text layer of the bundled model."""
    with open_model(bundled_model()) as file:
        return TextProcessor(file)
