"""A long chat that is saved goes on without being read again."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from litertlm import Client

GREEDY = {"temperature": 0}


@pytest.fixture
def saved(native: Client, tmp_path: Path) -> Path:
    """A chat of two turns, with its KV cache."""
    path = tmp_path / "ada.chat"
    with native.chat("You remember names.", sampler=GREEDY) as chat:
        chat.send("My name is Ada.", max_output_tokens=16)
        chat.send("Tell me a story.", max_output_tokens=48)
        chat.save(path, kv_cache=True)
    return path


def test_it_goes_on_where_it_was(model_path: Path, saved: Path) -> None:
    """In another client, which has never seen it: only the new message is prefilled."""
    with Client(model_path, engine="native", vision_backend="off", audio_backend="off") as fresh:
        with fresh.load_chat(saved) as chat:
            before = chat.token_count
            reply = chat.send("What is my name?", max_output_tokens=16)
        assert reply.usage.reused_tokens >= before - 1
        saved.with_name("ada.chat.kv").unlink()
        with fresh.load_chat(saved) as chat:
            again = chat.send("What is my name?", max_output_tokens=16)
        assert again.text == reply.text


@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense", "header", "middle"])
def test_a_damaged_one_is_not_used(model_path: Path, saved: Path, damage: str) -> None:
    """The chat is read again, as without it; the process lives."""
    file = saved.with_name("ada.chat.kv")
    whole = file.read_bytes()
    file.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "nonsense": b"LTLMKV01" + b"\xff" * 200,
            "header": whole[:12] + b"\xff" * 8 + whole[20:],
            "middle": whole[: len(whole) // 3] + bytes(range(256)) * 4 + whole[len(whole) // 3 + 1024 :],
        }[damage]
    )
    with (
        Client(model_path, engine="native", vision_backend="off", audio_backend="off") as fresh,
        fresh.load_chat(saved) as chat,
    ):
        assert chat.send("What is my name?", max_output_tokens=16).text


@pytest.mark.parametrize(
    "passages",
    [
        *([["", [token]]] for token in (1e999, 1 << 40, 1 << 30, -1, True, "1")),
        *([passage] for passage in ([7, [1]], ["", 7], ["", {"1": 2}], [])),
        7,
    ],
    ids=str,
)
def test_one_of_tokens_that_cannot_be(native: Client, saved: Path, passages: object) -> None:
    """It is as if it were not there."""
    file = saved.with_name("ada.chat.kv")
    whole = file.read_bytes()
    (length,) = struct.unpack_from("<I", whole, 8)
    header = json.loads(whole[12 : 12 + length]) | {"passages": passages}
    text = json.dumps(header).encode()
    file.write_bytes(whole[:8] + struct.pack("<I", len(text)) + text + whole[12 + length :])
    with native.load_chat(saved) as chat:
        damaged = chat.send("What is my name?", max_output_tokens=16)
    file.unlink()
    with native.load_chat(saved) as chat:
        assert chat.send("What is my name?", max_output_tokens=16).text == damaged.text


def test_saving_without_it_removes_an_older_one(native: Client, saved: Path) -> None:
    """It would be of an earlier state."""
    with native.load_chat(saved) as chat:
        chat.save(saved)
    assert not saved.with_name("ada.chat.kv").exists()


def test_the_official_engine_goes_on_without(official: Client, saved: Path) -> None:
    """It cannot read another engine's KV, and needs not."""
    with official.load_chat(saved) as chat:
        assert "Ada" in chat.send("What is my name?", max_output_tokens=16).text
