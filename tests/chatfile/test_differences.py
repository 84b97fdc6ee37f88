"""What is said when a chat goes on elsewhere."""

from __future__ import annotations

from dataclasses import replace

from litertlm import Audio, Message
from litertlm.chat.portable import ChatRecord, differences

from .samples import SAMPLE, WAV


def test_nothing_differs_where_it_was_saved() -> None:
    """And what is not known is not compared."""
    assert not differences(
        SAMPLE,
        model_type="gemma4",
        digest="sha256:12ab",
        template_hash="34cd",
        modalities=("text", "image", "audio"),
        tools=["look"],
        max_context=4096,
    )
    assert not differences(SAMPLE)
    assert not differences(
        ChatRecord(), model_type="x", digest="y", template_hash="z", modalities=(), tools=()
    )


def test_another_model() -> None:
    """Its kind says enough; another of the same kind is told by its digest."""
    (found,) = differences(SAMPLE, model_type="qwen3", digest="sha256:other")
    assert str(found) == "The chat was had with a gemma4 model (gemma.litertlm); this one is qwen3"
    assert not found.blocking
    (found,) = differences(SAMPLE, model_type="gemma4", digest="sha256:other")
    assert str(found) == "The chat was had with another gemma4 model (gemma.litertlm)"


def test_another_template() -> None:
    """The model sees the history in another form."""
    (found,) = differences(SAMPLE, template_hash="other")
    assert "chat template is another one" in str(found)
    assert not found.blocking


def test_media_that_cannot_be_taken_block() -> None:
    """The model cannot be shown the history at all."""
    found = differences(SAMPLE, modalities=["text"], model_type="qwen3")
    assert [(str(one), one.blocking) for one in found[:2]] == [
        ("The chat holds 2 images, but this model takes no images", True),
        ("The chat holds a recording, but this model takes no audio", True),
    ]
    assert not found[2].blocking
    (found_audio,) = differences(SAMPLE, modalities=["text", "image"])
    assert "audio" in str(found_audio)
    twice = replace(SAMPLE, history=(Message("user", (Audio(WAV), Audio(WAV))),), turns=())
    assert "2 recordings" in str(differences(twice, modalities=["text"])[0])


def test_handlers_that_are_missing_are_named() -> None:
    """Handlers are not stored."""
    (found,) = differences(SAMPLE, tools=["other"])
    assert str(found) == "There is no handler for look: its calls come back in the reply"
    assert not found.blocking


def test_a_shorter_context() -> None:
    """A full one leaves no room for an answer."""
    assert not differences(SAMPLE, max_context=65)
    (found,) = differences(replace(SAMPLE, token_count=5000), max_context=4096)
    assert str(found) == "The chat took 5,000 tokens when it was saved; the context has 4,096"
