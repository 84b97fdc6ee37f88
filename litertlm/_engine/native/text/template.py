"""Chat templates: Jinja text, compiled once, rendered in the sandbox."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import cache, lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from litertlm.errors import TemplateError

if TYPE_CHECKING:
    from litertlm._engine.native.text.sandbox import Sandbox

__all__ = ["ChatTemplate", "compiled"]

# In a template that uses this, the official engine renders message by message, in a way of its own.
_BY_MESSAGE = "is_appending_to_prefill"
# Marks what an assistant said, for training; it renders nothing.
_GENERATION = re.compile(r"\{%([-+]?)\s*(?:end)?generation\s*([-+]?)%\}")
_FILE = "<template>"  # what Jinja calls a template that is no file


class ChatTemplate:
    """A template that can be rendered.

    Args:
        source: Its text.

    Raises:
        TemplateError: It is no template; the error has the line.

    Threads: any.
    """

    def __init__(self, source: str) -> None:
        from jinja2 import TemplateSyntaxError

        if _BY_MESSAGE in source:
            raise _error(f"{_BY_MESSAGE} is not supported", None)
        try:
            self._template = _sandbox().from_string(_without_generation(source))
        except TemplateSyntaxError as error:
            raise _error(error.message or "syntax error", error.lineno) from None
        except SyntaxError as error:
            raise _error(error.msg, None) from None
        except (RecursionError, MemoryError):
            raise _error("it is nested too deep", None) from None

    def render(self, values: Mapping[str, Any]) -> str:
        """The text that a template makes of its variables.

        Raises:
            TemplateError: It fails, or does not come to an end soon; the error has the line.
        """
        from litertlm._engine.native.text.sandbox import STEPS, Sandbox, Steps

        variables = {"now": int(time.time()), "bos_token": "", "eos_token": "", **values, STEPS: Steps()}
        try:
            return Sandbox.concat(self._template.generate(variables))
        except RecursionError:
            raise _error("it is nested too deep", None) from None
        except Exception as error:
            # Templates fail in any way that Python can: with wrong types, missing values, large numbers.
            raise _error(str(error) or type(error).__name__, _line(error.__traceback__)) from None


@lru_cache(maxsize=8)
def compiled(source: str) -> ChatTemplate:
    """The template of a text; the last ones are kept."""
    return ChatTemplate(source)


@cache
def _sandbox() -> Sandbox:
    from litertlm._engine.native.text.sandbox import Sandbox

    return Sandbox()


def _without_generation(source: str) -> str:
    def comment(found: re.Match[str]) -> str:
        return f"{{#{found[1]} {found[2]}#}}" if found[1] or found[2] else ""

    return _GENERATION.sub(comment, source)


def _line(trace: TracebackType | None) -> int | None:
    """Where in the template it failed: Jinja puts the template's own lines into the trace."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _error(words: str, line: int | None) -> TemplateError:
    place = f" in line {line}" if line else ""
    return TemplateError(f"The chat template failed{place}: {words}", line=line)
