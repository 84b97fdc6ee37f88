"""The kernels for ARM, cross-compiled and run in an emulator.

Needs a cross compiler and qemu's user mode (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
TESTS = CSRC / "tests" / "test_kernels.c"
COMPILER, EMULATOR, SYSROOT = "aarch64-linux-gnu-gcc", "qemu-aarch64", Path("/usr/aarch64-linux-gnu")

pytestmark = [
    pytest.mark.skipif(not TESTS.is_file(), reason="csrc/tests is not part of an installed package"),
    pytest.mark.skipif(not shutil.which("make"), reason="there is no make"),
    pytest.mark.skipif(not shutil.which(COMPILER), reason=f"there is no {COMPILER}"),
    pytest.mark.skipif(not shutil.which(EMULATOR), reason=f"there is no {EMULATOR}"),
    pytest.mark.skipif(not SYSROOT.is_dir(), reason="there is no C library for aarch64"),
]

CASES = re.findall(r"\bTEST\((\w+)\)", TESTS.read_text()) if TESTS.is_file() else []

# Prints the table that is chosen.
PROBE = """
#include <stdio.h>
#include "native/kernels.h"
int main(void) { return printf("%s\\n", ltlm_kernels_choose(NULL)->name) < 0; }
"""


def run(cpu: str, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program for ARM on an emulated CPU."""
    return subprocess.run(
        [EMULATOR, "-cpu", cpu, "-L", SYSROOT, program, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where test_kernels and the objects that it is made of are, for ARM."""
    made = tmp_path_factory.mktemp("csrc-arm")
    variables = [f"CC={COMPILER}", f"BUILD={made}"]
    done = subprocess.run(
        ["make", "--silent", "-j2", "-C", TESTS.parent, made / "test_kernels", *variables],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("case", CASES)
def test_c_on_arm(folder: Path, case: str) -> None:
    """A C test of the kernels passes on a CPU that has all that there is."""
    done = run("max", folder / "test_kernels", case)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"ok {case}\n"


@pytest.mark.parametrize(
    ("cpu", "table"), [("max", "neon-i8mm"), ("cortex-a76", "neon"), ("cortex-a72", "portable")]
)
def test_the_best_kernels_are_chosen(folder: Path, tmp_path: Path, cpu: str, table: str) -> None:
    """What the CPU has decides, so the tests above have run both tables."""
    source, program = tmp_path / "probe.c", tmp_path / "probe"
    source.write_text(PROBE)
    objects = sorted((folder / "obj" / "native" / "kernels").glob("*.o"))
    subprocess.run([COMPILER, f"-I{CSRC}", source, *objects, "-o", program, "-lm"], check=True)
    done = run(cpu, program)
    assert done.stdout == f"{table}\n", done.stderr
