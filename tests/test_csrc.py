"""The C tests of csrc/: plain, and under the address, undefined-behaviour and thread sanitizers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "csrc" / "tests"
# What each build is called, and the value of -fsanitize.
BUILDS = {"plain": "", "asan": "address,undefined", "tsan": "thread"}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the stub engine is built as a Linux shared library"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="csrc/tests is not part of an installed package"),
    pytest.mark.skipif(not shutil.which("make"), reason="there is no make"),
]


def _names(source: Path, macro: str) -> list[str]:
    return re.findall(rf"\b{macro}\((\w+)\)", source.read_text())


FILES = sorted([*SOURCES.glob("test_*.c"), *SOURCES.glob("fuzz_*.c")])
CASES = [(source.stem, name) for source in FILES for name in _names(source, "TEST")]


@dataclass(frozen=True)
class Build:
    """One build of all C tests."""

    folder: Path
    runner: tuple[str, ...]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs one test program to its end."""
        return subprocess.run(
            [*self.runner, str(self.folder / program), *arguments],
            env=os.environ | OPTIONS,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=100,
        )


def _compilers() -> list[str]:
    names = [os.environ.get("CC", ""), "gcc", "clang", "cc"]
    return list(dict.fromkeys(name for name in names if name and shutil.which(name)))


def _try(compiler: str, sanitizer: str, folder: Path) -> tuple[tuple[str, ...] | None, str]:
    """How programs of this compiler and sanitizer run here; None, and why, if they do not."""
    source, program = folder / "probe.c", folder / f"probe-{compiler}"
    source.write_text("int main(void) { return 0; }\n")
    flag = [f"-fsanitize={sanitizer}"] if sanitizer else []
    built = subprocess.run([compiler, *flag, source, "-o", program], capture_output=True, text=True)
    if built.returncode:
        return None, built.stderr.strip().splitlines()[-1] if built.stderr.strip() else "it does not compile"
    # The thread sanitizer of older compilers cannot run where the kernel spreads addresses widely.
    fixed_addresses = ("setarch", platform.machine(), "-R")
    why = ""
    for runner in ((), fixed_addresses) if shutil.which("setarch") else ((),):
        ran = subprocess.run([*runner, program], capture_output=True, text=True)
        if ran.returncode == 0:
            return runner, ""
        why = ran.stderr.strip() or f"its programs exit with {ran.returncode}"
    return None, why


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Build]:
    """Makes a build by its name, once; skips when no compiler here can make it."""
    made: dict[str, Build | str] = {}

    def make(name: str) -> Build | str:
        folder = tmp_path_factory.mktemp(f"csrc-{name}")
        reasons = []
        for compiler in _compilers():
            runner, why = _try(compiler, BUILDS[name], folder)
            if runner is not None:
                variables = [f"CC={compiler}", f"BUILD={folder}", f"SANITIZE={BUILDS[name]}"]
                done = subprocess.run(
                    ["make", "--silent", "-j2", "-C", SOURCES, "all", *variables],
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, done.stderr
                return Build(folder, runner)
            reasons.append(f"{compiler}: {why}")
        return f"no compiler makes the {name} build: {'; '.join(reasons) or 'none was found'}"

    def get(name: str) -> Build:
        if name not in made:
            made[name] = make(name)
        result = made[name]
        if isinstance(result, str):
            pytest.skip(result)
        return result

    return get


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize(("program", "case"), CASES, ids=[f"{program[5:]}-{case}" for program, case in CASES])
def test_c(build: Callable[[str], Build], name: str, program: str, case: str) -> None:
    """A C test passes, and the sanitizer of its build has nothing to report."""
    done = build(name).run(program, case)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert done.stdout == f"ok {case}\n"
    assert "Sanitizer" not in output
    assert "runtime error" not in output


@pytest.mark.parametrize("source", FILES, ids=lambda source: source.stem)
def test_every_c_test_is_listed(source: Path) -> None:
    """A test that is written is also run: C has no discovery."""
    assert _names(source, "TEST") == _names(source, "RUN")


def test_no_c_file_outgrows_its_subject() -> None:
    """Files stay short enough to be read at once."""
    csrc = SOURCES.parent
    lengths = {
        path.relative_to(csrc).as_posix(): len(path.read_text().splitlines())
        for path in csrc.rglob("*.[ch]")
        if csrc / "tests" not in path.parents
    }
    assert {path: length for path, length in lengths.items() if length > 420} == {}
