"""A client of an engine that is already there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from litertlm import Client, OptionError
from litertlm._engine.seam import EngineInfo
from litertlm.testing import CONTROL_TOKENS, FakeEngine

HEAVY = ("litertlm._native", "numpy", "PIL", "cffi", "litertlm._engine.lib")


def test_everything_about_the_model_comes_from_the_engine() -> None:
    """No file is opened."""
    with (
        FakeEngine(modalities=("image",), context=100, thinking=False) as fake,
        Client(engine=fake) as client,
    ):
        info = client.info
        assert (info.engine, info.path, info.model_type) == ("fake", "fake", "fake")
        assert info.modalities == ("text", "image")
        assert (info.max_context, info.supports_thinking, info.supports_tools) == (100, False, True)
        assert all(getattr(info.sampler, field.name) is not None for field in fields(info.sampler))
        assert repr(client) == "<Client: fake on cpu>"
        assert fake.model.control_tokens == CONTROL_TOKENS


def test_an_engine_that_does_not_know_its_model() -> None:
    """Its info tells the modalities."""

    class Bare:
        def __init__(self, info: EngineInfo) -> None:
            self.info = info

        def close(self) -> None:
            pass

    with Client(engine=Bare(FakeEngine(modalities=("audio",)).info)) as client:  # type: ignore[arg-type]
        assert client.info.modalities == ("text", "audio")


@pytest.mark.parametrize(
    "other", [{"model": "a.litertlm"}, {"backend": "gpu"}, {"threads": 2}, {"cache_dir": "off"}]
)
def test_other_settings_would_have_no_effect(other: dict[str, object]) -> None:
    """So they are refused."""
    with pytest.raises(OptionError, match=f"{next(iter(other))} has no effect beside engine"):
        Client(engine=FakeEngine(), **other)  # type: ignore[arg-type]


def test_nothing_native_is_loaded() -> None:
    """Not even when it talks."""
    code = (
        "import sys; from litertlm import Client; from litertlm.testing import FakeEngine\n"
        "with FakeEngine() as fake, Client(engine=fake) as client, client.chat() as chat: chat.send('hi')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
