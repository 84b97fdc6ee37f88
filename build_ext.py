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
SOURCES = (
    "status.c",
    "stream.c",
    "map.c",
    "litert/loader.c",
    "litert/options.c",
    "litert/engine.c",
    "litert/conversation.c",
    "litert/turn.c",
    "litert/session.c",
    "native/kv_store.c",
    "native/kv.c",
    "native/kv_save.c",
    "native/memory.c",
    "native/pool.c",
    "native/check.c",
    "native/check_steps.c",
    "native/phases.c",
    "native/weights.c",
    "native/program.c",
    "native/row_steps.c",
    "native/attention.c",
    "native/executor.c",
    "native/penalties.c",
    "native/sampler.c",
    "native/model.c",
    "native/sequence.c",
    "native/generation.c",
    "native/batcher.c",
    "native/kernels/avx512.c",
    "native/kernels/avx512_attend.c",
    "native/kernels/avx512_bf16.c",
    "native/kernels/avx512_blocks.c",
    "native/kernels/avx512_floats.c",
    "native/kernels/avx512_integers.c",
    "native/kernels/avx512_panels.c",
    "native/kernels/avx512_rows.c",
    "native/kernels/choose.c",
    "native/kernels/missing.c",
    "native/kernels/portable.c",
    "native/kernels/portable_rows.c",
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
    sources=[str(Path("csrc", *name.split("/"))) for name in SOURCES],
    include_dirs=["csrc"],
    libraries=["dl", "m", "pthread"] if sys.platform == "linux" else [],
    extra_compile_args=compile_args(),
)

if __name__ == "__main__":
    os.chdir(ROOT)
    ffibuilder.compile(verbose=True)
