"""Builds ``litertlm._native``, the only compiled module, from ``csrc/`` with cffi in API mode.

The marked regions of ``HEADERS`` are the single source of what Python sees: no declaration is written twice.
Needs a C compiler and nothing else; the engine library is loaded at run time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
HEADERS = ("ltlm.h", "native/plan.h", "native/native.h")
# Every C file belongs to the module but the tests and benchmarks of the C layer.
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "csrc").rglob("*.c")
    if path.relative_to(ROOT / "csrc").parts[0] not in ("tests", "bench")
)


def cdef(header: str) -> str:
    """The declarations between the two cdef marks of ``header``, a path below ``csrc/``."""
    text = (ROOT / "csrc" / header).read_text(encoding="utf-8")
    _, _, rest = text.partition("/* cdef-begin")
    region, end, _ = rest.partition("/* cdef-end */")
    if not end:
        raise ValueError(f"csrc/{header} has lost its cdef marks")
    return region.partition("*/")[2]


def compile_args() -> list[str]:
    """Compiler flags for this platform's default compiler."""
    if sys.platform == "win32":
        return ["/std:c11"]
    return ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"]


ffibuilder = FFI()
for name in HEADERS:
    ffibuilder.cdef(cdef(name))
ffibuilder.set_source(
    "litertlm._native",
    "".join(f'#include "{name}"\n' for name in HEADERS),
    # Relative, as setuptools wants them: it is run from this folder.
    sources=[str(Path(name)) for name in SOURCES],
    include_dirs=["csrc"],
    libraries=["dl", "m", "pthread"] if sys.platform == "linux" else [],
    extra_compile_args=compile_args(),
)

if __name__ == "__main__":
    os.chdir(ROOT)
    ffibuilder.compile(verbose=True)
