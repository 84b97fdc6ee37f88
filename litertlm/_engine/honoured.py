"""What an engine does not do is refused, and never ignored."""

from __future__ import annotations

from litertlm._engine.seam import EngineInfo
from litertlm.errors import OptionError
from litertlm.options import TurnOptions

__all__ = ["require_honoured"]


def require_honoured(options: TurnOptions, info: EngineInfo) -> None:
    """Raises OptionError if something is asked for that the engine does not do."""
    ignored = sorted(options.wanted - info.options)
    if ignored:
        raise OptionError(
            f"The {info.engine} engine cannot do {', '.join(ignored)}",
            hint=f"It can do: {', '.join(sorted(info.options))}.",
        )
