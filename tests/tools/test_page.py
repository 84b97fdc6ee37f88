"""What docs/tools.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"


def test_the_pages_programs_run(capsys: Any) -> None:
    """One after the other, as a reader would try them; those with a client need a model."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        if "client." not in block:
            exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    printed = capsys.readouterr().out
    assert "{'city': 'Paris', 'temperature': 21, 'sky': 'sunny'}" in printed
    assert "There is no argument 'town'; the arguments are 'city', 'unit'." in printed
    assert "'city' is missing" in printed
    assert names["switch"].parameters["required"] == ["room"]
    assert names["shops"].parameters["properties"]["near"]["required"] == ["latitude", "longitude"]
    assert names["approve"](names["ToolCall"]("1", "pay"), names["manual"]) == names["Pause"]()
