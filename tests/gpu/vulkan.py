"""Finds something that the engine can use as a GPU, a real one not needed.

Chromium and Chrome carry SwiftShader, a Vulkan driver in software that can do all that the engine needs.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["environment"]

# What the Vulkan loader itself reads; who sets it has decided.
DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
FOLDERS = (
    "/usr/lib/chromium",  # Debian
    "/usr/lib64/chromium-browser",  # Fedora
    "/opt/google/chrome",
    "/opt/chromium",
)
MANIFEST = "vk_swiftshader_icd.json"
LOADER = "libvulkan.so.1"


def environment() -> dict[str, str]:
    """The environment variables that give a process a Vulkan device.

    Raises:
        LookupError: There is none; the message says what to install.
    """
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        raise LookupError(f"{LOADER} is missing: apt-get install libvulkan1") from None
    if any(os.environ.get(name) for name in DRIVER_VARIABLES):
        return {}
    for folder in FOLDERS:
        manifest = Path(folder, MANIFEST)
        if manifest.is_file():
            return {"VK_DRIVER_FILES": str(manifest)}
    raise LookupError(f"{MANIFEST} was not found: apt-get install chromium, or set VK_DRIVER_FILES")
