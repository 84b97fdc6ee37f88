"""How a command ends: exit statuses, and how failures are told.

====  ==========================================================================
  0   It worked.
  1   It failed: no such model, no such GPU, a message that does not fit, ...
  2   The command line is wrong: an unknown option, or a setting out of range.
130   Ctrl-C.
141   The reader of the output left early (``| head``).
====  ==========================================================================

The status follows from the error's class, never from its words.
"""

from __future__ import annotations

import json
import sys

from litertlm import LiteRTLMError, OptionError
from litertlm.cli.terminal import Paint, clean

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "OK",
    "PIPE_CLOSED",
    "USAGE",
    "CommandError",
    "UsageError",
    "report_error",
    "report_interrupt",
]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
PIPE_CLOSED = 141


class CommandError(Exception):
    """The command cannot do what it is asked for, and it is not litertlm's doing.

    Args:
        message: What is wrong, without a full stop at the end.
        hint: What to do, full sentences.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CommandError):
    """What it is asked for makes no sense."""


def report_error(error: LiteRTLMError | CommandError, *, as_json: bool = False) -> int:
    """Tell the user what failed.

    Args:
        error: It.
        as_json: Print a JSON object on stdout instead of words on stderr.

    Returns:
        The exit status.
    """
    if as_json:
        _print_json(type(error).__name__, error.message, error.hint)
    else:
        paint = Paint(sys.stderr)
        print(f"litertlm: {paint.red('error:')} {clean(error.message, sys.stderr)}", file=sys.stderr)
        for line in clean(error.hint, sys.stderr).splitlines():
            print(f"  {line}", file=sys.stderr)
    return USAGE if isinstance(error, UsageError | OptionError) else FAILED


def report_interrupt(*, as_json: bool = False, line_open: bool = True) -> int:
    """End after Ctrl-C: no words, and the shell's prompt on a line of its own.

    Args:
        as_json: Print a JSON object on stdout.
        line_open: Whether the terminal's cursor is behind a ``^C``.

    Returns:
        The exit status.
    """
    if as_json:
        _print_json("KeyboardInterrupt", "Interrupted", "")
    elif line_open and sys.stderr.isatty():
        print(file=sys.stderr)
    return INTERRUPTED


def _print_json(kind: str, message: str, hint: str) -> None:
    print(json.dumps({"error": {"type": kind, "message": message, "hint": hint}}, ensure_ascii=False))
