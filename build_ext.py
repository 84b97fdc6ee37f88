"""Builds ``litertlm._native``, the only compiled module, from ``csrc/`` with cffi in API mode.

The marked region of ``csrc/ltlm.h`` is the single source of what Python sees: no declaration is written
twice. Needs a C compiler and nothing else; the engine library is loaded at run time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
SOURCES = (
    "status.c",
    "stream.c",
    "litert/loader.c",
    "litert/options.c",
    "litert/engine.c",
    "litert/conversation.c",
    "litert/turn.c",
    "litert/session.c",
    "native/kernels/avx2.c",
    "native/kernels/avx2_attend.c",
    "native/kernels/avx2_cpu.c",
    "native/kernels/avx2_float.c",
    "native/kernels/avx2_rows.c",
    "native/kernels/avx2_sums.c",
    "native/kernels/avxvnni.c",
    "native/kernels/avx512.c",
    "native/kernels/avx512_attend.c",
    "native/kernels/avx512_bf16.c",
    "native/kernels/avx512_blocks.c",
    "native/kernels/avx512_floats.c",
    "native/kernels/avx512_integers.c",
    "native/kernels/avx512_panels.c",
    "native/kernels/avx512_rows.c",
    "native/kernels/choose.c",
    "native/kernels/neon.c",
    "native/kernels/neon_attend.c",
    "native/kernels/neon_cpu.c",
    "native/kernels/neon_float.c",
    "native/kernels/neon_i8mm.c",
    "native/kernels/neon_rows.c",
    "native/kernels/portable.c",
    "native/kernels/portable_rows.c",
)


def cdef(header: str) -> str:
    """The declarations between the two cdef marks of ``header``."""
    _, _, rest = header.partition("/* cdef-begin")
    region, end, _ = rest.partition("/* cdef-end */")
    if not end:
        raise ValueError("csrc/ltlm.h has lost its cdef marks")
    return region.partition("*/")[2]


def compile_args() -> list[str]:
    """Compiler flags for this platform's default compiler."""
    if sys.platform == "win32":
        return ["/std:c11"]
    return ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"]


ffibuilder = FFI()
ffibuilder.cdef(cdef((ROOT / "csrc" / "ltlm.h").read_text(encoding="utf-8")))
ffibuilder.set_source(
    "litertlm._native",
    '#include "ltlm.h"',
    # Relative, as setuptools wants them: it is run from this folder.
    sources=[str(Path("csrc", *name.split("/"))) for name in SOURCES],
    include_dirs=["csrc"],
    libraries=["dl", "m", "pthread"] if sys.platform == "linux" else [],
    extra_compile_args=compile_args(),
)

if __name__ == "__main__":
    os.chdir(ROOT)
    ffibuilder.compile(verbose=True)
