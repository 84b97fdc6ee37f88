"""Prompts equal the official engine's, character by character."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from litertlm._engine.native.text import TextProcessor
from litertlm._engine.seam import Preface, ToolSpec
from litertlm.errors import MessageError, ModelFileError
from litertlm.messages import Image, Message, Text, ToolCall, ToolResult
from litertlm.modelfile import open_model

from .conftest import Sides
from .conversations import conversation
from .variants import write_variant

EVERYTHING = (
    "{{ tools | tojson }}|{{ messages | tojson }}|{{ tools }}|{{ messages }}|{{ bos_token }}|"
    "{{ enable_thinking }}|{{ add_generation_prompt }}"
)
FAMILIES = (
    "gemma4", "gemma3", "gemma3n", "function_gemma", "qwen3", "qwen2p5", "minicpm5", "lfm2", "fast_vlm",
    "minicpmv4", "generic_model",
)  # fmt: skip
AFFIXES = {
    "user": {"prefix": "<u>", "suffix": "</u>\n"},
    "model": {"prefix": "<m>", "suffix": "</m>\n"},
    "system": {"prefix": "<s>\n", "suffix": " </s>"},
}


def assert_equal_prompts(sides: Sides, seeds: range, template: str | None = None) -> None:
    """Both sides render the conversations of these numbers to the same text."""
    for seed in seeds:
        chat = conversation(seed)
        preface = Preface(chat.said, chat.tools, thinking=chat.thinking, chat_template=template)
        opened = sides.official.open(preface)
        expected = opened.render(chat.message)
        opened.close()
        messages = [*chat.said, chat.message]
        ours = sides.ours.render(messages, chat.tools, thinking=chat.thinking, chat_template=template)
        assert ours == expected, f"conversation {seed}"


def test_the_models_own_template(sides: Sides) -> None:
    """System, tools, calls, results, thinking, several turns: the same prompt."""
    assert_equal_prompts(sides, range(150))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_templates_see(family: Callable[[str], Sides], name: str) -> None:
    """A template that prints all that it is given prints the same, down to the order of keys."""
    assert_equal_prompts(family(name), range(200, 240), EVERYTHING)


@pytest.mark.parametrize("name", ["gemma4", "qwen3", "generic_model"])
def test_models_without_a_template(sides_of: Callable[..., Sides], name: str) -> None:
    """Texts around the messages, as the file has them."""
    metadata = {"llm_model_type": {name: {}}, "prompt_templates": AFFIXES}
    assert_equal_prompts(sides_of(f"affixes-{name}", metadata), range(300, 340))


def test_a_template_that_is_not_in_the_file_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Some families have one inside the official engine."""
    path = tmp_path_factory.mktemp("model") / "model.litertlm"
    write_variant(path, {"llm_model_type": {"gemma3": {}}, "prompt_templates": AFFIXES})
    with open_model(path) as file, pytest.raises(ModelFileError, match="no chat template"):
        TextProcessor(file)


def test_media_are_placeholders(processor: TextProcessor) -> None:
    """Their bytes are not looked at."""
    prompt = processor.render([Message("user", (Image(b"png"), Text("What?")))])
    assert prompt == "<|turn>user\n<|image|>What?<turn|>\n<|turn>model\n"


def test_no_generation_prompt(processor: TextProcessor) -> None:
    """The model's turn is begun only when asked for."""
    messages = [Message("user", (Text("Hi"),))]
    closed = processor.render(messages, add_generation_prompt=False)
    assert processor.render(messages) == closed + "<|turn>model\n"


def deep(levels: int) -> object:
    """Lists in lists."""
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1, 2}, b"x", deep(501), deep(10**5)]
)
def test_what_is_no_json(processor: TextProcessor, value: object) -> None:
    """Results and arguments that cannot be written are refused, however they are nested."""
    with pytest.raises(MessageError, match=r"JSON|nested"):
        processor.render([Message("tool", (ToolResult("call_1", "f", value),))])
    with pytest.raises(MessageError, match=r"JSON|nested"):
        processor.render([Message("assistant", (ToolCall("call_1", "f", {"a": value}),))])


def test_a_schema_that_is_no_json(processor: TextProcessor) -> None:
    """The same for declared tools."""
    with pytest.raises(MessageError, match="JSON"):
        processor.render([Message("user", (Text("Hi"),))], [ToolSpec("f", "", {"a": object()})])
