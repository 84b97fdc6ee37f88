"""Texts that end a reply, found in the decoded text as it comes."""

from __future__ import annotations

__all__ = ["StopFilter"]


class StopFilter:
    """Lets text through until one of the stop texts comes, also one that comes in pieces.

    Args:
        stops: The texts; none of them empty.

    Attributes:
        hit: Whether one of them has come. Nothing is let through from then on.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.hit = False
        self._stops = stops
        # The end of what came, as far as it may be the beginning of a stop text.
        self._held = ""

    def feed(self, text: str) -> str:
        """What of ``text``, and of what was held back, may be shown now."""
        if self.hit or not self._stops:
            return "" if self.hit else text
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.hit, self._held = True, ""
            return text[: min(places)]
        keep = self._possible_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, now that nothing can follow it."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, text: str) -> int:
        """Length of the longest end of ``text`` with which a stop text begins."""
        longest = min(len(text), max(map(len, self._stops)) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
