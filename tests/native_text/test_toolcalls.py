"""Calls are read as the official engine reads them.

The official engine is made to write a text by a constraint that allows no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from litertlm._engine.native.text import Called, Malformed, Said, Thought
from litertlm._engine.native.text.toolcalls import MalformedCallError, fences_of
from litertlm._engine.seam import Preface, ToolSpec
from litertlm.errors import ModelFileError, ToolCallSyntaxError
from litertlm.options import Regex, Sampler, TurnOptions

from .conftest import PLAIN, Sides

TOOL = ToolSpec("f", "d", {"type": "object", "properties": {"a": {"type": "string"}}})
GEMMA = "<|tool_call>{}<tool_call|>"
PYTHON = "```tool_code\n{}\n```"
QWEN = "<tool_call>{}</tool_call>"
MINICPM = '<function\tname="f">{}</function>'
WRITTEN = {
    "gemma4": (
        "a" + GEMMA.format("call:f{a:1}") + "b",
        GEMMA.format('call:f{a:<|"|>x{},:"\n<|"|>,n:-1.5,b:true,z:null,l:[1,<|"|>a<|"|>],o:{k:1e3}}')
        + GEMMA.format("call:g.h-1"),
        GEMMA.format("\ncall:f{a:<escape>x<escape>,a:2,b:@9007199254740993;}"),
        GEMMA.format("call:f{a:bare}"),
        GEMMA.format("call:f{a:1}call:g{}"),
        GEMMA.format("call:f{a:1,}"),
        "<|channel>thought\nhm<channel|>a" + GEMMA.format("call:f{}") + "<|tool_call>call:f{",
    ),
    "function_gemma": (
        "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>",
        "<start_function_call>f()<end_function_call>",
    ),
    "gemma3": (
        "a" + PYTHON.format('print(default_api.f(a="x",n=2,l=[1,-2.5],d={"a":True,},x=None))') + "b",
        PYTHON.format("f(a='it\\'s',b=\"l\\n\")\ng(a=P(x=1))"),
        PYTHON.format("[f(a=1),g()]"),
        PYTHON.format("f(1)"),
        PYTHON.format("f(a=1,a=2)"),
        "```tool_code\nf(a=1)",
    ),
    "qwen3": (
        "a" + QWEN.format('{"name":"f","arguments":{"z":1,"a":{"y":1.5e3,"b":"\\u00e9"}}}') + "b",
        QWEN.format('\n[{"name":"f","args":{"a":1}},{"name":"g"},1]\n'),
        QWEN.format('{"name":"f","parameters":{"a":1}}'),
        QWEN.format('{"name":"f","arguments":"{}"}'),
        QWEN.format('{"name":"f","arguments":{"a":"\\ud800"}}'),
        QWEN.format('{"name":"f","arguments":{"a":1e400}}'),
    ),
    "minicpm5": (
        "a" + MINICPM.format("<param\tname=\"a\">1</param><param\tname='b'><![CDATA[<b>]]></param>") + "b",
        MINICPM.format('junk<param\tname="a">x</param>junk'),
    ),
}


def literal(text: str) -> Regex:
    """A constraint that allows nothing but this text."""
    return Regex(re.sub(r"([][(){}.*+?|^$\\&~#-])", r"\\\1", text))


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_calls(family: Callable[[str], Sides], name: str) -> None:
    """The same names and arguments, text and thinking; what the other refuses is a piece of its own here."""
    sides = family(name)
    options = TurnOptions(max_output_tokens=300, sampler=Sampler(temperature=0))
    for text in WRITTEN[name]:
        parser = sides.ours.parser(tools=True)
        pieces = parser.feed(text) + parser.finish()
        asked = TurnOptions(**{**vars_of(options), "response_format": literal(text)})
        deltas, end = sides.reply(Preface(tools=(TOOL,), chat_template=PLAIN), asked)
        if any(isinstance(piece, Malformed) for piece in pieces):
            assert isinstance(end.error, ToolCallSyntaxError), text
            continue
        assert end.error is None, text
        calls = [(call.name, call.arguments) for delta in deltas for call in delta.tool_calls]
        assert [(piece.name, piece.arguments) for piece in pieces if isinstance(piece, Called)] == calls
        assert said(pieces, Said) == "".join(delta.text for delta in deltas)
        assert said(pieces, Thought) == "".join(delta.thinking for delta in deltas)


def vars_of(options: TurnOptions) -> dict[str, Any]:
    """The fields of turn options."""
    return {name: getattr(options, name) for name in TurnOptions.__dataclass_fields__}


def said(pieces: list[Any], kind: type[Said] | type[Thought]) -> str:
    """The texts of one kind, as one."""
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))


READ: tuple[tuple[str, str, list[tuple[str, dict[str, Any]]]], ...] = (
    ("gemma4", "call:f{a:1.5e3, b : [ ] }", [("f", {"a": 1500.0, "b": []})]),
    ("gemma4", 'call:f{a:<|"|>New York é 😀<|"|>}', [("f", {"a": "New York é 😀"})]),
    ("gemma3", 'f(a="New York", b=[ ])\n\ng()', [("f", {"a": "New York", "b": []}), ("g", {})]),
    ("lfm2", "[f(a='x y'), g(b=1)]", [("f", {"a": "x y"}), ("g", {"b": 1})]),
    ("qwen3", ' {"name": "f", "arguments": {"a": "x y"}} ', [("f", {"a": "x y"})]),
    ("minicpm5", ' name="f"> <param name="a">x y</param>', [("f", {"a": "x y"})]),
)


@pytest.mark.parametrize(("name", "code", "calls"), READ)
def test_blanks_and_other_letters(name: str, code: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """What the official engine cannot be made to write."""
    fences = fences_of(name, {})
    assert fences is not None
    assert fences.read(code) == calls


UNREADABLE = (
    ("gemma4", "call:f{a:" + "[" * 5000),
    ("gemma4", "call:f{a:" + "9" * 5000 + ".0}"),
    ("gemma4", "call:f{a:" + "9" * 5000 + "}"),
    ("gemma4", 'call:f{a:"x"}'),
    ("gemma3", "f(a=" + "[" * 5000),
    ("gemma3", "f(a=" + "9" * 400 + ".)"),
    ("gemma3", "f(a=99999999999999999999)"),
    ("gemma3", "import os"),
    ("qwen3", '{"name":"f","arguments":' + "[" * 100_000),
    ("qwen3", '{"name":"f","arguments":{"a":NaN}}'),
    ("qwen3", "{'name':'f'}"),
    ("qwen3", '{"arguments":{}}'),
    ("minicpm5", ' id="1">'),
)


@pytest.mark.parametrize(("name", "code"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read(name: str, code: str) -> None:
    """However large or deep, it is one kind of error, with a short reason."""
    fences = fences_of(name, {})
    assert fences is not None
    with pytest.raises(MalformedCallError) as caught:
        fences.read(code)
    assert 0 < len(str(caught.value)) < 300


def test_settings_of_the_file_count_more() -> None:
    """Fences, syntax and the pattern of lines."""
    settings = {"code_fence_start": "<<", "code_fence_end": ">>", "syntax_type": "python"}
    fences = fences_of("gemma4", settings | {"tool_code_regex": "run (.*)"})
    assert fences is not None
    assert (fences.start, fences.end, fences.read("run f(a=1)")) == ("<<", ">>", [("f", {"a": 1})])
    assert fences_of("generic_model", settings) is None


@pytest.mark.parametrize("settings", [{"syntax_type": "perl"}, {"tool_code_regex": "("}])
def test_settings_that_make_no_sense(settings: dict[str, str]) -> None:
    """The model is refused, so that another engine can be tried."""
    with pytest.raises(ModelFileError):
        fences_of("gemma4", settings)
