"""Progress lines with loss and time left, and checkpoints to resume from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch


class Progress:
    """Print a line about every `every` seconds."""

    def __init__(self, stage: str, steps: int, start: int = 0, every: float = 15.0) -> None:
        self._stage, self._steps, self._start = stage, steps, start
        self._began = self._last = time.monotonic()
        self._every = every
        self._loss: float | None = None

    def step(self, number: int, loss: float, note: str = "") -> None:
        """Tell that step `number` is done."""
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        now = time.monotonic()
        done = number + 1
        if now - self._last < self._every and done != self._steps:
            return
        self._last = now
        pace = (now - self._began) / max(1, done - self._start)
        left = pace * (self._steps - done)
        print(
            f"[{self._stage}] step {done}/{self._steps}  loss {self._loss:.4f}  "
            f"{pace:.2f} s/step  {left / 60:.1f} min left  {note}",
            flush=True,
        )


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` so that an interruption never leaves half a file."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the saved state, or None when there is none."""
    return torch.load(path, weights_only=False) if path.exists() else None
