"""Control markers in text are split, and nothing else is changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from litertlm import Client
from litertlm.messages import Message, Text, ToolCall, ToolResult
from litertlm.templates import Markers

MARKERS = Markers(["<|turn>", "<turn|>", "<|im_end|>", "[INST]"])
JOINER = "\u2060"


def test_ordinary_text_is_untouched() -> None:
    """Also what looks a little like a marker."""
    for text in ("", "hello", "a < b", "<b>bold</b>", "<|", "|>", "<turn>", "[inst]"):
        assert MARKERS.neutralise(text) == text


@given(
    st.lists(
        st.sampled_from(["<|turn>", "<turn|>", "[INST]", "<", "|", ">", "turn", "<|image|>", JOINER, "x"])
    )
)
def test_no_marker_survives(pieces: list[str]) -> None:
    """However they are put together, and visibly nothing changes."""
    text = "".join(pieces)
    safe = MARKERS.neutralise(text)
    assert not any(marker in safe for marker in ("<|turn>", "<turn|>", "[INST]", "<|image|>"))
    assert safe.replace(JOINER, "") == text.replace(JOINER, "")
    assert MARKERS.neutralise(safe) == safe


def test_all_text_of_a_message_is_neutralised() -> None:
    """Names, keys and values of tool calls and results, too."""
    message = Message(
        "tool",
        (
            Text("<|turn>"),
            ToolCall("call_1", "<|turn>", {"<|turn>": ["<|turn>", 1, None]}),
            ToolResult("call_1", "<|turn>", {"a": "<|turn>"}),
        ),
    )
    assert "<|turn>" not in repr(MARKERS.neutralise_message(message))


def test_no_control_token_of_the_model_can_be_forged(client: Client) -> None:
    """Wherever one is written, the ids that the engine would read hold none more than with plain text; and
    what stands there is what was written, character for character.
    """
    tokens = client._model.control_tokens
    assert {"<|turn>", "<turn|>", "<|tool_call>", "<|image|>", "<|audio|>", "<|channel>"} <= set(tokens)
    for token in tokens:
        (number,) = client.tokenize(token)
        for place in ("user", "system", "tool"):
            plain, forged = (_rendered(client, place, text) for text in ("a b c", f"a {token} c"))
            before, after = client.tokenize(plain).count(number), client.tokenize(forged).count(number)
            assert before == after, (token, place)
            assert f"a {token} c" in forged.replace(JOINER, ""), (token, place)


def _rendered(client: Client, place: str, text: str) -> str:
    """What the engine would read, with ``text`` in a message of that kind."""
    if place == "user":
        with client.chat() as chat:
            return chat.render(text)
    if place == "system":
        with client.chat(text) as chat:
            return chat.render("hello")
    called = [
        Message("user", (Text("hello"),)),
        Message("assistant", (ToolCall("call_1", "f", {}),)),
        Message("tool", (ToolResult("call_1", "f", text),)),
        Message("assistant", (Text("done"),)),
    ]
    with client.chat(initial_messages=called) as chat:
        return chat.render("hello")
