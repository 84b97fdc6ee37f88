"""The engine's own log, for those who want it."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager

__all__ = ["engine_log"]


def engine_log(
    level: int = logging.INFO, *, lib: str | os.PathLike[str] | None = None
) -> AbstractContextManager[None]:
    """Hand the engine's log to the logger ``litertlm.engine`` for the length of a ``with`` block.

    The engine is silent otherwise. It writes to the process's standard error and has one level for the whole
    process, so this can be done once at a time.

    Args:
        level: ``logging.DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        lib: The engine library's file, as for :class:`litertlm.Client`.

    Raises:
        OptionError: Another level, or the log is handed over already.
        EngineLibraryError: The library is missing or does not fit.
    """
    from litertlm._engine.lib import load_library
    from litertlm._engine.log import forward_log

    return forward_log(load_library(lib), level)
