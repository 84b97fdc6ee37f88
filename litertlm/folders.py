"""Where litertlm keeps what it keeps: the platform's usual folders, or ``$LITERTLM_HOME``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]

ENVIRONMENT = "LITERTLM_HOME"


def cache_folder() -> Path:
    """The folder for what can be made again, such as prepared weights; it may not exist yet."""
    if home := os.environ.get(ENVIRONMENT):
        return Path(home).absolute() / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("litertlm"))


def data_folder() -> Path:
    """The folder for what belongs to the user, such as the prompt history; it may not exist yet."""
    if home := os.environ.get(ENVIRONMENT):
        return Path(home).absolute() / "data"
    import platformdirs

    return Path(platformdirs.user_data_dir("litertlm"))
