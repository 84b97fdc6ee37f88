"""``litertlm doctor``: also what goes wrong in the child becomes a report."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from litertlm.doctor import Check, Report, diagnose

from .programs import RunCommand, StartProcess

WHEN_LOADING = """
import sys

def watch(event, arguments):
    if event == "import" and arguments[0] == "litertlm._engine.native":
        {deed}

sys.addaudithook(watch)
"""


@pytest.fixture
def sabotage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the child do something when it loads the engine; this process is not touched."""

    def arrange(deed: str) -> None:
        code = WHEN_LOADING.format(deed=deed)
        (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(code), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)

    return arrange


def checks(report: Report) -> dict[str, Check]:
    """The findings by name."""
    return {check.name: check for check in report.checks}


def test_all_is_well_here(cli: RunCommand, model_path: Path) -> None:
    """The machine under test can run the model."""
    result = cli("doctor", model_path)
    assert result.status == 0, result.out
    assert result.err == ""
    for words in ("litertlm", "Python", "platform", "engine library", "GPU", "cache", "loaded in", "memory"):
        assert words in result.out
    assert "✗" not in result.out


def test_json_has_the_same_findings(cli: RunCommand, model_path: Path) -> None:
    """One JSON object."""
    result = cli("doctor", "--json", "--backend", "cpu", model_path)
    report = json.loads(result.out)
    assert report["ok"] is True
    found = {check["name"]: check for check in report["checks"]}
    assert found["model on the CPU"]["status"] == "ok"
    assert set(found["GPU"]) == {"name", "status", "detail", "hint"}


def test_a_damaged_model_is_told_and_fails(cli: RunCommand, model_path: Path, tmp_path: Path) -> None:
    """Status 1 says that the model cannot be run."""
    damaged = tmp_path / "damaged.litertlm"
    damaged.write_bytes(model_path.read_bytes()[:100_000])
    result = cli("doctor", damaged)
    assert result.status == 1
    assert "✗ model on the CPU" in result.out
    assert "cannot be run" in result.out
    assert json.loads(cli("doctor", "--json", damaged).out)["ok"] is False


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_is_a_finding(sabotage: Callable[[str], None], model_path: Path, name: str) -> None:
    """A signal that ends the child is named."""
    sabotage(f"__import__('os').kill(__import__('os').getpid(), {int(getattr(signal, name))})")
    report = diagnose(model_path, ["cpu"])
    check = checks(report)["model on the CPU"]
    assert not report.ok
    assert check.status == "fail"
    assert f"crashed ({name}) while loading" in check.detail


def test_a_hang_is_a_finding(sabotage: Callable[[str], None], model_path: Path) -> None:
    """A child that does not come to an end is ended."""
    sabotage("__import__('time').sleep(1000)")
    report = diagnose(model_path, ["cpu"], timeout=10)
    assert "hung while loading" in checks(report)["model on the CPU"].detail


def test_ctrl_c_ends_the_child_too(
    sabotage: Callable[[str], None],
    start: StartProcess,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status 130 and no traceback."""
    os.mkfifo(tmp_path / "pid")
    tell = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))"
    sabotage(f"{tell}, __import__('time').sleep(1000)")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    process = start("doctor", model_path)
    child = int((tmp_path / "pid").read_text(encoding="ascii"))
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_an_unknown_failure_is_a_finding(sabotage: Callable[[str], None], model_path: Path) -> None:
    """The last words of the child are passed on."""
    sabotage("raise OSError('no more paper')")
    report = diagnose(model_path, ["cpu"])
    assert "no more paper" in checks(report)["model on the CPU"].detail


def test_a_missing_engine_library_is_a_finding(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found before the model is tried."""
    monkeypatch.setenv("LITERTLM_LIB", "/no/such/library.so")
    report = diagnose(model_path, ["cpu"])
    assert not report.ok
    assert "/no/such/library.so" in checks(report)["engine library"].detail


def test_named_drivers_are_listed(model_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that the environment names, missing ones too."""
    driver = tmp_path / "driver.json"
    driver.write_text("{}", encoding="utf-8")
    monkeypatch.setenv("VK_DRIVER_FILES", os.pathsep.join([str(driver), "/no/such.json"]))
    detail = checks(diagnose(model_path, ["cpu"]))["GPU"].detail
    assert str(driver) in detail
    assert "missing" in detail


@pytest.mark.gpu
def test_vulkan_devices_are_asked_for_their_names(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A software device is told from a GPU, and not tried unless asked for."""
    driver = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
    if not driver.exists():
        pytest.skip("needs Debian's chromium, for its software Vulkan")
    monkeypatch.setenv("VK_DRIVER_FILES", str(driver))
    found = checks(diagnose(model_path))
    assert "software only: Vulkan: SwiftShader Device" in found["GPU"].detail
    assert "model on the GPU" not in found


def test_narrow_and_ascii_terminals_are_served(
    cli: RunCommand, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ASCII signs where there are no others."""
    import io
    import sys

    monkeypatch.setenv("COLUMNS", "30")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli("doctor", model_path).status == 0
    text = out.buffer.getvalue().decode("ascii")
    assert "+ model on the CPU" in text
