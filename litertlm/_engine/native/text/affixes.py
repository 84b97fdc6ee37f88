"""Prompts of models that have no chat template, only texts around each message.

The roles are the file format's; the official engine puts media placeholders of its own, whatever the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litertlm.modelfile.text_format import Affixes

__all__ = ["render_affixes"]

_MEDIA = {"image": "<start_of_image>", "audio": "<start_of_audio>"}


def render_affixes(
    affixes: Mapping[str, Affixes], messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool
) -> str:
    """The prompt of messages as templates see them."""
    none = Affixes()
    text = []
    for message in messages:
        around = affixes.get(message["role"], none)
        text += [around.prefix, *map(_part, message.get("content", ())), around.suffix]
    if add_generation_prompt:
        text.append(affixes.get("model", none).prefix)
    return "".join(text)


def _part(part: Mapping[str, Any]) -> str:
    return str(part["text"]) if part["type"] == "text" else _MEDIA.get(part["type"], "")
