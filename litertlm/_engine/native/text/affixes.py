"""Prompts of models that have no chat template, only texts around each message.

For some families the official engine has a template of its own then, which is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litertlm.modelfile.text_format import Affixes

__all__ = ["BUILT_IN", "render_affixes"]

BUILT_IN = frozenset(("gemma3", "gemma3n", "function_gemma", "lfm2", "minicpm5"))
"""Families that are not rendered so."""

_ROLES = {"assistant": "model"}  # the file format's own name
_MEDIA = {"image": "<start_of_image>", "audio": "<start_of_audio>"}


def render_affixes(
    affixes: Mapping[str, Affixes], messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool
) -> str:
    """The prompt of messages as templates see them."""
    none = Affixes()
    text = []
    for message in messages:
        role = message["role"]
        around = affixes.get(_ROLES.get(role, role), none)
        text += [around.prefix, *map(_part, message.get("content", ())), around.suffix]
    if add_generation_prompt:
        text.append(affixes.get("model", none).prefix)
    return "".join(text)


def _part(part: Mapping[str, Any]) -> str:
    return str(part["text"]) if part["type"] == "text" else _MEDIA.get(part["type"], "")
