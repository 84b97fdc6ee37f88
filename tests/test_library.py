"""The engine library is found, and refused with a reason when it does not fit."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from litertlm import EngineLibraryError
from litertlm._engine import lib


def compile_library(folder: Path, source: str) -> Path:
    """A shared library of that C source."""
    code, library = folder / "odd.c", folder / "libodd.so"
    code.write_text(source, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(code)], check=True)
    return library


def test_the_installed_wheel_carries_the_library() -> None:
    """Its version is known, and it is loaded once."""
    library = lib.load_library()
    assert library.version == importlib.metadata.version("litert-lm-api")
    assert lib.load_library() is library


def test_the_wheels_python_is_not_imported() -> None:
    """Only its library is used."""
    code = (
        "import sys; from litertlm._engine import lib; lib.load_library(); print('litert_lm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_environment_variable_names_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument comes first, then the variable, then the wheel."""
    file = lib.load_library().path
    monkeypatch.setenv("LITERTLM_LIB", file)
    assert lib.load_library().path == file
    monkeypatch.setenv("LITERTLM_LIB", "/nonexistent/lib.so")
    with pytest.raises(EngineLibraryError, match="LITERTLM_LIB"):
        lib.load_library()
    with pytest.raises(EngineLibraryError, match="lib="):
        lib.load_library("/nowhere/lib.so")
    assert lib.load_library(file).path == file


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int x;", "unknown version"),
        ('const char v[] = "\\0000.17.3"; int x;', "unknown version"),
        ('const char v[] = "\\0000.18.9"; int x;', "litert_lm_"),
    ],
    ids=["no-version", "old-version", "missing-symbols"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="builds an ELF library")
def test_a_library_that_does_not_fit_is_refused(tmp_path: Path, source: str, message: str) -> None:
    """With the file, and its version or the first missing function."""
    library = compile_library(tmp_path, source)
    with pytest.raises(EngineLibraryError, match=message) as caught:
        lib.load_library(library)
    assert str(library) in str(caught.value)
    assert "pip install" in caught.value.hint


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who installed without dependencies."""

    def missing(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.delenv("LITERTLM_LIB", raising=False)
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(EngineLibraryError, match="pip install 'litert-lm-api"):
        lib.load_library()
