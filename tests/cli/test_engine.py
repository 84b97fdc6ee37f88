"""Which engine runs a model, and why it is not litertlm's own, as people are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litertlm.doctor import diagnose
from litertlm.loading import native_refusal

from ..native_plan.refused import with_another_mask
from .programs import RunCommand

SHORT = ("--max-output-tokens", "2", "Hello!")


def test_why_it_is_the_official_one(cli: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said by what runs a model, what describes it and what looks for problems."""
    monkeypatch.setenv("COLUMNS", "1000")
    model = with_another_mask(tmp_path / "model.litertlm")
    reason = native_refusal(model)
    assert reason is not None
    assert reason.endswith("which is no mask")
    assert f", because {reason}\n" in cli("run", "-v", "-m", model, *SHORT).err
    said = json.loads(cli("run", "--json", "-m", model, *SHORT).out)["model"]
    assert (said["engine"], said["engine_reason"]) == ("litert", reason)
    assert json.loads(cli("show", "--json", model).out)["engine_reason"] == reason
    assert "the official one: SELECT_V2 (node" in cli("show", model).out
    found = {check.name: check for check in diagnose(model, ["cpu"]).checks}
    assert found["model on the CPU"].status == "ok"
    assert f", because {reason}, loaded" in found["model on the CPU"].detail


def test_ours_needs_no_reason(cli: RunCommand, model_path: Path) -> None:
    """It is the default."""
    assert "engine" not in cli("run", "-v", "-m", model_path, *SHORT).err
    assert json.loads(cli("show", "--json", model_path).out)["engine_reason"] is None
    assert "litertlm's own" in cli("show", model_path).out
    asked = cli("run", "-v", "--engine", "litert", "-m", model_path, *SHORT)
    assert "because engine='litert' was asked for" in asked.err
