"""Control markers in text are split, and nothing else is changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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
