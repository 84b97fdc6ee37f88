"""What a docstring says about a function and its parameters: Google, NumPy and reST style."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

__all__ = ["Docstring", "parse_docstring"]

# A heading of a section, in Google's form ("Args:") or underlined as NumPy has it.
PARAMETERS = frozenset({"args", "arguments", "parameters", "params", "other parameters", "keyword args"})
OTHERS = frozenset(
    {
        "attributes", "example", "examples", "note", "notes", "raises", "references", "return", "returns",
        "see also", "todo", "warning", "warnings", "warns", "yield", "yields",
    }
)  # fmt: skip

GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
REST_FIELD = re.compile(r":(\w+)([^:]*):\s*(.*)")
REST_PARAMETERS = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart.

    Attributes:
        description: The text before the sections, its lines joined into paragraphs.
        parameters: Descriptions by parameter name; a line each, without type.
    """

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Take a docstring apart; text in none of the three styles is all description."""
    lines = inspect.cleandoc(text or "").splitlines()
    said: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        heading, body = _heading(lines, at)
        if heading:
            end = _section_end(lines, body, underlined=body == at + 2)
            if heading in PARAMETERS:
                read = _numpy_entries if body == at + 2 else _google_entries
                parameters.update(read(lines[body:end]))
            at = end
        elif match := REST_FIELD.match(lines[at]):
            end = at + 1
            while end < len(lines) and (lines[end].startswith((" ", "\t")) and lines[end].strip()):
                end += 1
            words = match[2].split()
            if match[1] in REST_PARAMETERS and words:
                # ":param int count: ..." names the type before the parameter.
                parameters[words[-1].lstrip("*")] = _one_line([match[3], *lines[at + 1 : end]])
            at = end
        else:
            said.append(lines[at])
            at += 1
    paragraphs = "\n".join(said).strip().split("\n\n")
    description = "\n\n".join(_one_line(paragraph.splitlines()) for paragraph in paragraphs)
    return Docstring(description.strip(), {name: text for name, text in parameters.items() if text})


def _heading(lines: list[str], at: int) -> tuple[str, int]:
    """The section that begins at a line, "" for none, and where its body begins."""
    line = lines[at].strip()
    if lines[at].startswith((" ", "\t")):
        return "", at
    name = line.lower()
    if at + 1 < len(lines) and name in PARAMETERS | OTHERS and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
        return name, at + 2
    name = name.removesuffix(":")
    if line.endswith(":") and name in PARAMETERS | OTHERS:
        return name, at + 1
    return "", at


def _section_end(lines: list[str], at: int, *, underlined: bool) -> int:
    """The first line after a section: the next heading or, in Google's style, text that is not indented."""
    while at < len(lines):
        if _heading(lines, at)[0] or REST_FIELD.match(lines[at]):
            break
        if not underlined and lines[at].strip() and not lines[at].startswith((" ", "\t")):
            break
        at += 1
    return at


def _google_entries(lines: list[str]) -> dict[str, str]:
    entries: dict[str, list[str]] = {}
    indents = [_indent(line) for line in lines if line.strip()]
    current: list[str] = []
    for line in lines:
        match = GOOGLE_ENTRY.fullmatch(line.strip())
        if match and _indent(line) == min(indents):
            current = entries[match[1]] = [match[2]]
        elif line.strip():
            current.append(line)
    return {name: _one_line(text) for name, text in entries.items()}


def _numpy_entries(lines: list[str]) -> dict[str, str]:
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        match = None if line.startswith((" ", "\t")) else NUMPY_ENTRY.fullmatch(line.rstrip())
        if match:
            current = []
            for name in match[1].split(","):
                entries[name.strip().lstrip("*")] = current
        elif line.strip():
            current.append(line)
    return {name: _one_line(text) for name, text in entries.items()}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _one_line(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
