"""What a notebook shows of a chat."""

from __future__ import annotations

import base64
import io
import re

import PIL.Image

from litertlm import Client, Image
from litertlm.testing import FakeEngine

from .tools import Diary


def test_a_chat_is_markdown_with_small_pictures(fake: FakeEngine, desk: Client) -> None:
    """Who said what, tools and their results, and pictures that are no larger than they need to be."""
    diary = Diary()
    large = PIL.Image.new("RGB", (900, 300), (220, 30, 30))
    with desk.chat("Be brief.", tools=[diary.tool()]) as chat:
        fake.enqueue_tool_calls([("note", {"city": "Rome"})])
        fake.enqueue("It is **noted**.")
        chat.send_multi([Image(large), "Note it."])
        shown = chat._repr_markdown_()
    assert shown.startswith("**system** Be brief.")
    assert '`note({"city": "Rome"})`' in shown
    assert shown.endswith("**assistant** It is **noted**.")
    (data,) = re.findall(r"data:image/png;base64,([^)]+)", shown)
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (160, 53)
