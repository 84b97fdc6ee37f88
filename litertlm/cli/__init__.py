"""The ``litertlm`` command.

One module per command (``run``, ``chat``, ``show``, ``doctor``), imported when its command is used:
``--help`` and ``--version`` load neither engine nor numpy, and only ``chat`` needs the ``cli`` extra.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from litertlm import LiteRTLMError
from litertlm.cli.arguments import parse
from litertlm.cli.exits import INTERRUPTED, PIPE_CLOSED, CommandError, report_error, report_interrupt

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Its arguments; None: the process's own.

    Returns:
        The exit status, see :mod:`litertlm.cli.exits`.
    """
    for stream in (sys.stdout, sys.stderr):
        # A model may say what the terminal's encoding lacks.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        status = _command(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    if status == INTERRUPTED and argv is None:
        # Whoever presses Ctrl-C again while the process ends wants it to end now.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def _command(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    as_json = bool(getattr(arguments, "json", False))
    try:
        module = importlib.import_module(f"litertlm.cli.{arguments.command}")
        command: Callable[[Any], int] = getattr(module, arguments.command)
        return command(arguments)
    except (LiteRTLMError, CommandError) as error:
        return report_error(error, as_json=as_json)
    except KeyboardInterrupt:
        return report_interrupt(as_json=as_json)


def _abandon_stdout() -> None:
    """Let the flush at exit go nowhere: the reader of the pipe has left, which is its good right."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
