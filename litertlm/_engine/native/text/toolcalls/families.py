"""Which family of models writes tool calls in which syntax, and between which fences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litertlm._engine.native.text.toolcalls import fc, json_object, python, xml
from litertlm._engine.native.text.toolcalls.syntax import Calls, Reader, ToolCallSyntax
from litertlm.errors import ModelFileError

__all__ = ["Fences", "fences_of", "writing_of"]

_READERS: Mapping[str, Reader] = {"fc": fc.read, "python": python.read, "json": json_object.read}


@dataclass(frozen=True, slots=True)
class Fences:
    """What a tool call stands between, and how it is read.

    Attributes:
        start: Before it.
        end: After it.
        reader: Reads what is in between.
        line: Of a line that it matches, only its first group is read; None: lines are read whole.
    """

    start: str
    end: str
    reader: Reader
    line: re.Pattern[str] | None = None

    def read(self, code: str) -> Calls:
        """The calls in what stands between the fences.

        Raises:
            MalformedCallError: There are none, or they cannot be read.
        """
        if self.line is not None:
            lines = [(self.line.search(line), line) for line in code.split("\n")]
            code = "\n".join(found[1] or "" if found else line for found, line in lines)
        return self.reader(code) if code else []


_PRINTED = r"print\((?:default_api\.)?(.+\(.*\))\)"
_FAMILIES: Mapping[str, tuple[str, str, str, str]] = {
    "gemma4": ("<|tool_call>", "<tool_call|>", "fc", ""),
    "function_gemma": ("<start_function_call>", "<end_function_call>", "fc", ""),
    "gemma3": ("```tool_code\n", "\n```", "python", _PRINTED),
    "gemma3n": ("```tool_code\n", "\n```", "python", _PRINTED),
    "qwen3": ("<tool_call>", "</tool_call>", "json", ""),
    "qwen2p5": ("<tool_call>", "</tool_call>", "json", ""),
    "minicpm5": ("<function", "</function>", "xml", ""),
    "lfm2": ("<|tool_call_start|>", "<|tool_call_end|>", "python", ""),
}


def fences_of(model_type: str, settings: Mapping[str, Any]) -> Fences | None:
    """How models of a family call tools; None: they do not.

    Args:
        model_type: The family.
        settings: What the model file says about it, which counts more.

    Raises:
        ModelFileError: The file names a syntax or a pattern that is none.
    """
    if model_type not in _FAMILIES:
        return None
    start, end, syntax, line = _FAMILIES[model_type]
    syntax = settings.get("syntax_type") or syntax
    reader = xml.read if syntax == "xml" else _READERS.get(syntax)
    if reader is None:
        raise ModelFileError(f"the syntax of tool calls {syntax!r} is unknown")
    line = settings.get("tool_code_regex") or line
    try:
        pattern = re.compile(line) if line else None
    except (re.error, RecursionError) as error:
        raise ModelFileError(f"tool_code_regex is no regular expression ({error})") from None
    return Fences(
        settings.get("code_fence_start") or start, settings.get("code_fence_end") or end, reader, pattern
    )


def writing_of(model_type: str, settings: Mapping[str, Any]) -> ToolCallSyntax | None:
    """How tools are written for the templates of a family; None: templates take JSON."""
    if model_type in ("gemma3", "gemma3n"):
        return python.PythonSyntax()
    if model_type == "function_gemma" and not settings.get("use_template_for_fc_format"):
        return fc.FunctionCallSyntax()
    return None
