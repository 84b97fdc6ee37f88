"""A model that our own engine refuses runs on the official one, and it is said why."""

from __future__ import annotations

from pathlib import Path

import pytest

from litertlm import Client, OptionError

from ..native_plan.refused import with_another_mask, with_another_template

GREEDY = {"temperature": 0}


def told(model: Path) -> str:
    """Why our own engine refuses it, as it says when it is asked for."""
    with pytest.raises(OptionError, match="engine='native' cannot run this: ") as caught:
        Client(model, engine="native")
    return caught.value.message.removeprefix("engine='native' cannot run this: ")


def test_a_graph_that_is_not_recognised(tmp_path: Path, official: Client) -> None:
    """The reason names the node and what it does; the answers are those of the model as it was."""
    model = with_another_mask(tmp_path / "model.litertlm")
    with Client(model) as client:
        info = client.info
        assert (info.engine, info.media_engine) == ("litert", "litert")
        assert info.engine_reason == told(model)
        assert info.engine_reason.startswith("SELECT_V2 (node ")
        assert info.engine_reason.endswith("selects 0.0 and -1000.0, which is no mask")
        for question in ("Hello!", "Tell me a story."):
            reply = client.generate(question, sampler=GREEDY, max_output_tokens=16)
            assert reply.text == official.generate(question, sampler=GREEDY, max_output_tokens=16).text


def test_a_template_that_is_not_known(tmp_path: Path) -> None:
    """Is a reason as well."""
    model = with_another_template(tmp_path / "model.litertlm")
    with Client(model) as client:
        assert client.info.engine == "litert"
        assert client.info.engine_reason == told(model)
        assert "is_appending_to_prefill" in client.info.engine_reason
        assert client.generate("Hello!", max_output_tokens=8).text
