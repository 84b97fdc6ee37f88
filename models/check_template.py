"""Check that the generators lay conversations out exactly as the chat template does.

`python -m models.check_template TOKENIZER_FOLDER`. What the model is trained on is written by
`data/dialogue.py`, what it is asked at run time by `chat_template.jinja`; they must never differ.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from models.data import mix
from models.data.dialogue import Call, Dialogue
from models.data.media_talk import Heard, Seen
from models.tokenizer import load_tokenizer

MEDIA = mix.Media([Seen("circle", "red", "white", 1)], [Heard("high", 3)])


@dataclass
class Recorder(Dialogue):
    """A dialogue that also keeps the messages an application would hold."""

    joints: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.system is not None:
            self.messages.append({"role": "system", "content": self.system})

    def user(self, *parts: Any) -> None:
        """Record a user message."""
        super().user(*parts)
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": part[0]} for part in parts
        ]
        self.messages.append({"role": "user", "content": content})

    def say(self, reply: str, *, thought: str = "", weight: float = 1.0) -> None:
        """Record a reply; thoughts are never part of the history."""
        super().say(reply, weight=weight)
        self.messages.append({"role": "assistant", "content": reply})

    def call(self, *calls: Call, thought: str = "", weight: float = 1.0) -> None:
        """Record calls."""
        super().call(*calls, weight=weight)
        entries = [{"function": {"name": c.name, "arguments": c.arguments}} for c in calls]
        self.messages.append({"role": "assistant", "tool_calls": entries})

    def results(self, *results: tuple[str, Any]) -> None:
        """Record tool results."""
        super().results(*results)
        content = [{"type": "tool_response", "name": n, "response": r} for n, r in results]
        self.messages.append({"role": "tool", "content": content})


def main() -> None:
    """Compare some thousand conversations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    tokenizer = load_tokenizer(parser.parse_args().tokenizer)
    mix.Dialogue = Recorder  # type: ignore[misc]
    for number in range(3000):
        dialogue = mix.make_dialogue(Random(f"template {number}"), MEDIA)
        assert isinstance(dialogue, Recorder)
        rendered = tokenizer.apply_chat_template(
            dialogue.messages,
            tools=list(dialogue.tools) or None,
            tokenize=False,
            enable_thinking=dialogue.thinking,
        )
        if rendered != dialogue.text():
            raise SystemExit(f"conversation {number} differs:\n{rendered!r}\n{dialogue.text()!r}")
    print("3000 conversations agree with the template")


if __name__ == "__main__":
    main()
