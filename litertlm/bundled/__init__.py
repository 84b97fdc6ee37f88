"""The small model that comes with the package: a demonstration and a test instrument."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundled_model"]


def bundled_model() -> Path:
    """The bundled model's file."""
    return Path(__file__).with_name("litertlm-tiny.litertlm")
