"""Make one question into many: casing, punctuation, politeness, spelling, slips of the finger."""

from __future__ import annotations

from random import Random

_POLITE = ("please ", "can you tell me ", "tell me, ", "so, ", "ok, ", "and ", "hey, ", "hi, ")
_AFTER = (" please", ", please", " then", " now")
_TO_BRITISH = {"color": "colour", "gray": "grey", "favorite": "favourite"}


def vary(rng: Random, text: str, *, keep_case: bool = False) -> str:
    """Return `text` as somebody else would have typed it."""
    if rng.random() < 0.3:
        for american, british in _TO_BRITISH.items():
            text = text.replace(british, american)
    if rng.random() < 0.08 and text:
        text = rng.choice(_POLITE) + text[0].lower() + text[1:]
        text = text[0].upper() + text[1:]
    if rng.random() < 0.05 and text[-1:] in "?.!":
        text = text[:-1] + rng.choice(_AFTER) + text[-1]
    draw = rng.random()
    if text[-1:] in "?.!":
        if draw < 0.3:
            text = text[:-1]
        elif draw < 0.36:
            text = text[:-1] + rng.choice(("!", ".", "?", " ?", "??", "..."))
    if not keep_case:
        draw = rng.random()
        if draw < 0.25:
            text = text.lower()
        elif draw < 0.26:
            text = text.upper()
    elif rng.random() < 0.2 and text:
        text = text[0].lower() + text[1:]
    if "'" in text and rng.random() < 0.15:
        text = text.replace("'", "")
    if rng.random() < 0.05 and not keep_case and len(text) > 5:
        text = _slip(rng, text)
    return text


def _slip(rng: Random, text: str) -> str:
    place = rng.randrange(1, len(text) - 2)
    kind = rng.random()
    if kind < 0.4:
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if kind < 0.75:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place] + text[place:]


def fill(rng: Random, patterns: tuple[str, ...] | list[str], **slots: str) -> str:
    """Choose a pattern and fill its slots."""
    return rng.choice(patterns).format(**slots)
