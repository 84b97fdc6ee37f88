"""Replies that are shown while they are being written."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from litertlm import Chunk
from litertlm.cli.markdown import LiveReply, complete_blocks, markdown

REPLY = """\
# Title

Two lines
of a poem.

- one
- two

  still two

```python
x = 1

y = 2
```

The <b>end</b> of [it](https://example.com).
"""


def shown(text: str, width: int = 60) -> str:
    """Markdown as the terminal shows it."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(markdown(text))
    return console.file.getvalue()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_reply_in_pieces_looks_like_a_whole_one(size: int) -> None:
    """However it is cut."""
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    with LiveReply(console, modern=True) as live:
        for start in range(0, len(REPLY), size):
            live.add(Chunk(REPLY[start : start + size]))
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines == [line.strip() for line in shown(REPLY).splitlines() if line.strip()]


def test_only_blocks_that_cannot_change_are_complete() -> None:
    """Fences and indented continuations keep a block open."""
    assert complete_blocks("one\n\n") == 0  # an indented line may follow
    assert complete_blocks("one\n\ntwo") == len("one\n\n")
    assert complete_blocks("- one\n\n  still one") == 0
    assert complete_blocks("```\na\n\nb") == 0
    assert complete_blocks("```\na\n\nb\n```\n\nc") == len("```\na\n\nb\n```\n\n")
    assert complete_blocks("~~~\n```\n\nb") == 0


def test_html_line_ends_and_addresses_are_kept() -> None:
    """Nothing that the model wrote is swallowed."""
    text = shown(REPLY)
    assert "The <b>end</b>" in text
    assert "Two lines\nof a poem." in "\n".join(line.rstrip() for line in text.splitlines())
    assert "https://example.com" in text


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Not even in Markdown."""
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    with LiveReply(console, modern=True) as live:
        live.add(Chunk("a\x1b]0;title\x07b"))
    assert "\x1b" not in console.file.getvalue()
    assert "\x07" not in console.file.getvalue()
