"""Copies of the bundled model that the official engine runs and ours refuses."""

from __future__ import annotations

from pathlib import Path

from litertlm.bundled import bundled_model

from .surgery import Patient

__all__ = ["with_another_mask", "with_another_template"]


def with_another_mask(path: Path) -> Path:
    """What must not be seen gets -1000 instead of a larger number: as good, but not what masks look like."""
    patient = Patient(Path(bundled_model()))
    patient.constant(patient.first("SELECT_V2").inputs[2], "f", -1000.0)
    return patient.save(path)


def with_another_template(path: Path) -> Path:
    """A word in a comment of its template says that it is to be rendered message by message."""
    data, comment = Path(bundled_model()).read_bytes(), b"Rendering only ever app"
    assert data.count(comment) == 1
    path.write_bytes(data.replace(comment, b"is_appending_to_prefill"))
    return path
