"""The GPU gives the CPU's answers; SwiftShader, a GPU in software, will do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .vulkan import environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# The fixture that asks everything counts as part of the first test, and software is slow.
pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


def ask(model: Path, backend: str, folder: Path, variables: dict[str, str]) -> tuple[dict[str, Any], str]:
    """What ``answers.py`` found on that backend, and what else was printed."""
    folder.mkdir()
    (folder / "cache").mkdir()
    done = subprocess.run(
        [sys.executable, str(HERE / "answers.py"), str(model), backend, str(folder / "cache")],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=folder,
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    *noise, answers = done.stdout.splitlines()
    return json.loads(answers), "\n".join([*noise, done.stderr])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the GPU's run leaves what it leaves."""
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def on_gpu(model_path: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """The GPU's answers and noise; skipped without a GPU unless $LITERTLM_REQUIRE_GPU is set."""
    try:
        variables = environment()
    except LookupError as reason:
        if os.environ.get("LITERTLM_REQUIRE_GPU"):
            pytest.fail(f"LITERTLM_REQUIRE_GPU is set, but there is no GPU: {reason}")
        pytest.skip(f"no GPU: {reason}")
    return ask(model_path, "gpu", folder / "run", variables)


@pytest.fixture(scope="module")
def gpu(on_gpu: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """The GPU's answers."""
    return on_gpu[0]


@pytest.fixture(scope="module")
def cpu(on_gpu: object, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The CPU's answers to the same questions."""
    return ask(model_path, "cpu", tmp_path_factory.mktemp("cpu") / "run", {})[0]


def test_the_gpu_is_really_used(gpu: dict[str, Any], cpu: dict[str, Any]) -> None:
    """For the text model and both encoders."""
    assert gpu["backends"] == ["gpu", "gpu", "gpu"]
    assert cpu["backends"] == ["cpu", "cpu", "cpu"]


@pytest.mark.parametrize("subject", ["texts", "two turns", "images", "sounds"])
def test_greedy_answers_equal_the_cpus(gpu: dict[str, Any], cpu: dict[str, Any], subject: str) -> None:
    """Word for word."""
    assert gpu[subject] == cpu[subject]
    assert all(gpu[subject])


def test_chats_do_not_mix(gpu: dict[str, Any]) -> None:
    """A turn of another chat in between changes nothing."""
    assert gpu["interleaved"] == gpu["two turns"]


def test_a_turn_that_was_left_leaves_no_trace(gpu: dict[str, Any]) -> None:
    """The next answer is that of a fresh chat."""
    assert gpu["after leaving"] == gpu["two turns"][:1]


def test_nothing_is_printed(on_gpu: tuple[dict[str, Any], str]) -> None:
    """The graphics stack is noisy; the terminal belongs to the user."""
    assert on_gpu[1].strip() == ""


def test_caches_stay_in_their_folder(on_gpu: object, folder: Path, model_path: Path) -> None:
    """Compiled shaders and prepared weights are kept in ``cache_dir``, and nowhere else."""
    cached = [file.name for file in (folder / "run" / "cache").iterdir()]
    assert any("program_cache" in name for name in cached)
    assert [file.name for file in (folder / "run").iterdir()] == ["cache"]
    assert not list(model_path.parent.glob("*_cache*"))
