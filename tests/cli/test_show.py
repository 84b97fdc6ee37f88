"""``litertlm show``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litertlm import describe

from .programs import RunCommand


def test_shows_what_matters(cli: RunCommand, model_path: Path) -> None:
    """Kind, context, modalities, sections and their share."""
    result = cli("show", model_path)
    assert result.status == 0
    assert result.err == ""
    assert result.out.startswith(f"{model_path.name}\n")
    description = describe(model_path)
    assert description.model_type in result.out
    assert f"{description.max_context:,} tokens" in result.out
    for words in ("text, images", "audio", "language model", "vision encoder", "tokenizer", "█"):
        assert words in result.out


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_fits_the_terminal(
    cli: RunCommand, model_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Lines are wrapped, bars shortened."""
    monkeypatch.setenv("COLUMNS", columns)
    lines = cli("show", model_path).out.splitlines()[1:]
    assert max(map(len, lines)) <= max(56, min(100, int(columns)))


def test_json_has_every_section(cli: RunCommand, model_path: Path) -> None:
    """And the other facts."""
    shown = json.loads(cli("show", "--json", model_path).out)
    description = describe(model_path)
    assert [section["size"] for section in shown["sections"]] == [part.size for part in description.sections]
    assert shown["max_context"] == description.max_context
    assert shown["modalities"] == list(description.modalities)


def test_template_is_printed_alone(cli: RunCommand, model_path: Path) -> None:
    """So that it can be piped on."""
    assert cli("show", "--template", model_path).out == describe(model_path).chat_template.rstrip("\n") + "\n"


def test_what_is_no_model_is_refused(cli: RunCommand, tmp_path: Path) -> None:
    """With the class of the error."""
    file = tmp_path / "x.litertlm"
    file.write_bytes(b"not a model")
    assert cli("show", file).status == 1
    error = json.loads(cli("show", "--json", file).out)["error"]
    assert error["type"] == "ModelFileError"
