"""Which engine runs a model, and that it is said why."""

from __future__ import annotations

from pathlib import Path

import pytest

from litertlm import Client, Image, OptionError


def test_ours_is_the_default(model_path: Path) -> None:
    """Text on our own engine, encoders in the official library, loaded when they are needed."""
    with Client(model_path) as client:
        info = client.info
        assert (info.engine, info.engine_reason, info.media_engine) == ("native", None, "litert")
        assert info.modalities == ("text", "image", "audio")


def test_the_official_one_can_be_asked_for(model_path: Path) -> None:
    """And that is the reason."""
    with Client(model_path, engine="litert") as client:
        assert client.info.engine == "litert"
        assert "asked for" in (client.info.engine_reason or "")


def test_ours_refuses_what_it_cannot(model_path: Path) -> None:
    """With the reason, and what to do."""
    with pytest.raises(OptionError, match="CPU only"):
        Client(model_path, engine="native", backend="gpu")


def test_a_picture_moves_a_chat_to_the_official_engine(model_path: Path, png: bytes) -> None:
    """It has the encoders; what was said before goes with it."""
    with Client(model_path) as client, client.chat(sampler={"temperature": 0}) as chat:
        chat.send("My name is Ada.", max_output_tokens=16)
        reply = chat.send_multi([Image(png), "What colour is this?"], max_output_tokens=16)
        assert "red" in reply.text.lower()
        assert reply.usage.image_tokens > 0
        assert len(chat.history) == 4
