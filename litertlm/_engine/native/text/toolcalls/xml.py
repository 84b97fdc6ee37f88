"""The syntax of MiniCPM 5: ``<function name="NAME"><param name="key">text</param></function>``.

The fences are part of the syntax; all arguments are texts. The official engine reads these calls only in
replies that it does not stream, unless the model file names the fences.
"""

from __future__ import annotations

import re

from litertlm._engine.native.text.toolcalls.syntax import Calls, MalformedCallError

__all__ = ["read"]

_NAME = r"""\s+name\s*=\s*["']([^"']+)["']\s*>"""
_FUNCTION = re.compile(rf"(?:\s*<function)?{_NAME}")
_PARAMETER = re.compile(rf"<param{_NAME}(.*?)</param>", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*)\]\]>", re.DOTALL)


def read(code: str) -> Calls:
    """See :data:`~litertlm._engine.native.text.toolcalls.syntax.Reader`."""
    function = _FUNCTION.match(code)
    if function is None:
        raise MalformedCallError("the function has no name")
    arguments = {}
    for name, text in _PARAMETER.findall(code, function.end()):
        cdata = _CDATA.fullmatch(text)
        arguments[name] = cdata[1] if cdata else text
    return [(function[1], arguments)]
