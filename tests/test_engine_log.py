"""The engine is silent, unless it is asked to speak."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from litertlm import Client, EngineError, ModelFileError, OptionError, engine_log


def test_the_engine_is_silent(model_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading and a turn print nothing."""
    with Client(model_path, engine="litert") as client, client.chat(max_output_tokens=2) as chat:
        chat.send("hello")
    assert capfd.readouterr() == ("", "")


def test_its_log_can_be_had(
    model_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """As log records; what others print to standard error still gets there."""
    with (
        caplog.at_level(logging.DEBUG, "litertlm.engine"),
        engine_log(logging.INFO),
        Client(model_path, engine="litert"),
    ):
        os.write(2, b"not the engine\n")
        sys.stderr.write("nor this\n")
    assert {record.name for record in caplog.records} == {"litertlm.engine"}
    err = capfd.readouterr().err
    assert "not the engine" in err
    assert "nor this" in err
    assert ".cc:" not in err
    with Client(model_path, engine="litert"):
        pass
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="pipes of other systems join what is written")
def test_lines_in_pieces_are_put_together(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The engine writes severity, words and line end one by one, and other threads write between them."""
    pieces = (
        b"INFO: ",
        b"W0000 00:00:1700000000.000001   77 loader.cc:391] not found\n",
        b"not the engine\n",
        b"[environment.cc:36] created",
        b"ERROR: ",
        b"nor this\n",
        b"words without a place",
        b"\n",
        b"\n",
        b"\n",
        b"INFO: whole\n",
        b"unfinished",
        b"WARNING: ",
        b"[npu.cc:34] cut",
    )
    with caplog.at_level(logging.DEBUG, "litertlm.engine"), engine_log(logging.INFO):
        for piece in pieces:
            os.write(2, piece)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "not found"),
        ("INFO", "[environment.cc:36] created"),
        ("ERROR", "words without a place"),
        ("INFO", "whole"),
        ("WARNING", "[npu.cc:34] cut"),
    ]
    assert capfd.readouterr().err == "not the engine\nnor this\n\nunfinished"


def test_only_one_at_a_time(model_path: Path, tmp_path: Path) -> None:
    """There is one standard error; a failing load inside still finds its reason."""
    with engine_log(logging.ERROR):
        with pytest.raises(OptionError), engine_log(logging.INFO):
            pass
        broken = tmp_path / "broken.litertlm"
        broken.write_bytes(model_path.read_bytes().replace(b"prefill_", b"qrefill_"))
        with pytest.raises((EngineError, ModelFileError)):
            Client(broken, cache_dir="off")
    with pytest.raises(OptionError), engine_log(17):
        pass
