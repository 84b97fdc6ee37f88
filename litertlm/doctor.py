"""Whether models can run on this machine, and if not, why.

:func:`diagnose` looks at the installation and lets a child process load a model and say one token, so that
even a crash of the engine or of a graphics driver becomes a line of a report.

>>> from litertlm.doctor import diagnose
>>> for check in diagnose().checks:
...     print(check.status, check.name, check.detail)
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from litertlm.bundled import bundled_model
from litertlm.errors import LiteRTLMError
from litertlm.folders import cache_folder
from litertlm.options import Backend, EngineChoice

__all__ = ["Backend", "Check", "Report", "Status", "diagnose", "examine"]

Status: TypeAlias = Literal["ok", "warn", "fail"]

EXTRAS = {"cli": ("rich", "prompt_toolkit")}
"""What must be installed for each extra."""

CAPABILITIES = {
    "clone": "LTLM_CAN_CLONE",
    "checkpoint": "LTLM_CAN_CHECKPOINT",
    "score": "LTLM_CAN_SCORE",
    "benchmark": "LTLM_CAN_BENCHMARK",
    "open by descriptor": "LTLM_CAN_OPEN_FD",
    "visual budget": "LTLM_CAN_VISUAL_BUDGET",
    "constrain": "LTLM_CAN_CONSTRAIN",
    "penalize": "LTLM_CAN_PENALIZE",
    "think": "LTLM_CAN_THINK",
}
"""Optional functions of the engine library: what people call them, and their bit."""

DRIVER_FOLDERS = (
    "~/.config/vulkan/icd.d",
    "~/.local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
    "/usr/local/etc/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/usr/share/vulkan/icd.d",
)
"""Where the Vulkan loader looks for drivers, unless an environment variable names them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: ``"ok"``; ``"warn"``: works, but something is missing; ``"fail"``: a model cannot be run.
        detail: What was found.
        hint: What to do about it, "" when there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the model can be run."""
        return all(check.status != "fail" for check in self.checks)


def diagnose(
    model: str | os.PathLike[str] | None = None,
    backends: Sequence[Backend] | None = None,
    *,
    timeout: float = 120.0,
) -> Report:
    """Examine this machine, this installation and a model.

    Args:
        model: A model file; None: the bundled one.
        backends: Where the model must run; None: on the CPU; the GPU is tried if there is one.
        timeout: Seconds for each trial of the model.
    """
    return Report(tuple(examine(model, backends, timeout=timeout)))


def examine(
    model: str | os.PathLike[str] | None = None,
    backends: Sequence[Backend] | None = None,
    *,
    timeout: float = 120.0,
) -> Iterator[Check]:
    """As :func:`diagnose`, finding by finding; a trial may take a while."""
    yield Check("litertlm", "ok", f"{_version('litertlm') or 'from source'}, in {Path(__file__).parent}")
    yield Check(
        "Python", "ok", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    )
    yield Check("platform", "ok", f"{platform.platform()}, {platform.machine()}")
    yield from _library()
    yield _extras()
    graphics = _graphics(timeout)
    yield graphics
    path = os.fspath(bundled_model() if model is None else model)
    wanted: tuple[Backend, ...] = ("cpu",) if backends is None else tuple(backends)
    for backend in wanted:
        yield _trial_check(path, backend, timeout, required=True)
    if "cpu" in wanted:
        yield _trial_check(path, "cpu", timeout, engine="litert", required=False)
    if backends is None and graphics.status == "ok":
        yield _trial_check(path, "gpu", timeout, required=False)
    yield _cache()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _library() -> Iterator[Check]:
    """The compiled module and the engine library; neither runs a model, so both are loaded here."""
    try:
        from litertlm._engine.cores import available_cores
        from litertlm._engine.lib import lib, load_library

        yield Check("threads", "ok", f"{available_cores()} of {os.cpu_count()} logical CPUs")
        library = load_library()
    except LiteRTLMError as error:
        yield Check("engine library", "fail", error.message, error.hint)
        return
    except ImportError as error:
        yield Check(
            "engine library", "fail", f"the compiled module cannot be loaded: {error}", "Reinstall litertlm."
        )
        return
    yield Check("engine library", "ok", f"version {library.version or 'unknown'}, {library.path}")
    missing = [name for name, bit in CAPABILITIES.items() if not library.can(getattr(lib, bit))]
    if missing:
        yield Check(
            "engine functions", "warn", f"the library lacks: {', '.join(missing)}", "Use a newer one."
        )
    else:
        yield Check("engine functions", "ok", f"all there: {', '.join(CAPABILITIES)}")


def _extras() -> Check:
    found, missing = [], []
    for extra, packages in EXTRAS.items():
        versions = {package: _version(package) for package in packages}
        if all(versions.values()):
            found.append(f"{extra} ({', '.join(f'{name} {version}' for name, version in versions.items())})")
        else:
            missing.append(extra)
    if missing:
        hint = f'Run: pip install "litertlm[{",".join(missing)}]"'
        return Check("extras", "warn", f"not installed: {', '.join(missing)}", hint)
    return Check("extras", "ok", ", ".join(found))


def _graphics(timeout: float) -> Check:
    """Which GPUs there are, asked in a child: a broken graphics driver may crash whoever loads it."""
    if sys.platform == "darwin":
        return Check("GPU", "ok", "Metal")
    files = [] if sys.platform == "win32" else _driver_files()
    drivers = f"; drivers: {', '.join(files)}" if files else ""
    result = _in_child({"vulkan": True}, min(timeout, 30.0))
    devices: dict[str, bool] = result.answer.get("devices", {})
    if devices:
        found = f"Vulkan: {', '.join(devices)}{drivers}"
        if any(devices.values()):
            return Check("GPU", "ok", found)
        return Check(
            "GPU", "warn", f"software only: {found}", "Very slow; backend='gpu' uses it all the same."
        )
    reason = result.failure or str(result.answer.get("error") or "no Vulkan device")
    hint = "Only needed for backend='gpu': install your GPU's Vulkan driver."
    return Check("GPU", "warn", f"{reason}{drivers or '; no Vulkan driver is installed'}", hint)


def _driver_files() -> list[str]:
    """Descriptions of Vulkan drivers that the loader finds; those of the environment take precedence."""
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        if named := os.environ.get(name):
            return [
                file if Path(file).exists() else f"{file} (${name}; missing)"
                for file in named.split(os.pathsep)
            ]
    found = [file for folder in DRIVER_FOLDERS for file in Path(folder).expanduser().glob("*.json")]
    return sorted(str(file) for file in found)


def _cache() -> Check:
    folder = cache_folder()
    if not folder.is_dir():
        return Check("cache", "ok", f"{folder}, not made yet")
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    text = f"{folder}, {len(files)} files, {_megabytes(size)}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(
            "cache", "warn", f"{text}; not writable", "Starting takes longer without; set LITERTLM_HOME."
        )
    return Check("cache", "ok", text)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _trial_check(
    path: str, backend: Backend, timeout: float, *, engine: EngineChoice = "auto", required: bool
) -> Check:
    """Load the model in a child and let it say one token."""
    name = f"model on the {backend.upper()}" if engine == "auto" else "official engine"
    bad: Status = "fail" if required else "warn"
    result = _in_child({"model": path, "backend": backend, "engine": engine}, timeout)
    if result.failure:
        hint = "The file may be damaged: compare its checksum with its source's." if result.crashed else ""
        return Check(name, bad, f"{path}: {result.failure}", hint)
    answer = result.answer
    if error := answer.get("error"):
        return Check(name, bad, str(error), str(answer.get("hint") or ""))
    reason = f", because {answer['reason']}" if engine == "auto" and answer["reason"] else ""
    peak = f", {_megabytes(answer['peak'])} of memory at most" if answer.get("peak") else ""
    return Check(
        name,
        "ok",
        f"{path}: {answer['type']}, {answer['engine']}{reason}, loaded in {answer['load']:.2f} s, "
        f"first token after {answer['first']:.2f} s, {answer['threads']} threads{peak}",
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a child.

    Attributes:
        answer: What it said, empty when it did not get that far.
        failure: How it ended instead, "" when it did not.
        crashed: Whether a signal or a Windows exception ended it.
    """

    answer: dict[str, Any]
    failure: str = ""
    crashed: bool = False


def _in_child(task: dict[str, Any], timeout: float) -> _Outcome:
    """Let a fresh interpreter do ``task``; whatever happens to it is a result."""
    paths = [str(Path(entry).absolute()) for entry in sys.path if entry]
    # The child must find what this process found, but not what lies in the working folder by chance.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "litertlm.doctor", json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    slow = False
    with process:
        try:
            said, complaints = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            slow = True
            process.kill()
            said, complaints = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
    answer: dict[str, Any] = {}
    for line in said.decode("utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # a line cut off by a crash
            answer |= json.loads(line)
    stage = str(answer.get("stage") or "starting")
    if slow:
        return _Outcome(answer, f"it hung while {stage}, and was ended after {timeout:g} s")
    if process.returncode != 0:
        ended = _death(process.returncode)
        if ended:
            return _Outcome(answer, f"the engine crashed ({ended}) while {stage}", crashed=True)
        last = complaints.decode("utf-8", errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        return _Outcome(answer, f"it failed while {stage}: {last[0]}")
    return _Outcome(answer)


def _death(code: int) -> str:
    """The signal, or the number of the Windows exception, that ended a process; "" for neither."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"0x{code:08X}" if code >= 0x80000000 else ""


def _child(task: dict[str, Any]) -> None:
    """The child's side: say what is being done, then what came of it, a JSON object a line."""
    # The real stdout is for the report; whatever the engine prints goes the way of its log.
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _crash_quietly()

    def say(**facts: Any) -> None:
        report.write(json.dumps(facts) + "\n")
        report.flush()

    if task.get("vulkan"):
        say(stage="asking the graphics drivers")
        try:
            say(devices=_vulkan_devices())
        except OSError as error:
            say(error=f"no Vulkan loader ({error})")
        return
    say(stage="loading")
    try:
        from litertlm.client import Client

        started = time.monotonic()
        with Client(task["model"], backend=task["backend"], engine=task["engine"]) as client:
            say(stage="answering", load=time.monotonic() - started)
            info = client.info
            with client.chat() as chat:
                first = chat.send("Hello", max_output_tokens=1).timings.time_to_first_token
            say(
                stage="closing",
                type=info.model_type,
                engine=info.library if info.engine == "native" else f"official engine {info.library_version}",
                reason=info.engine_reason,
                threads=info.threads,
                first=first,
                peak=_peak_memory(),
            )
    except LiteRTLMError as error:
        say(error=error.message, hint=error.hint)


def _crash_quietly() -> None:
    """A crash is a result here: no core file, no dialog."""
    if sys.platform == "win32":
        ctypes.windll.kernel32.SetErrorMode(0x8007)
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak_memory() -> int | None:
    """The most memory that this process has had, in bytes."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _vulkan_devices() -> dict[str, bool]:
    """Names of the Vulkan devices, and whether they are hardware.

    Raises:
        OSError: There is no Vulkan loader.
    """
    vulkan = ctypes.CDLL("vulkan-1.dll" if sys.platform == "win32" else "libvulkan.so.1")
    # VkInstanceCreateInfo: sType 1, no application info, no layers, no extensions.
    request = (ctypes.c_uint64 * 8)(1)
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(request, None, ctypes.byref(instance)) != 0:
        return {}
    count = ctypes.c_uint32()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    devices = (ctypes.c_void_p * count.value)()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    found = {}
    for device in devices:
        # VkPhysicalDeviceProperties: five 32-bit numbers, the name in 256 bytes, and more (824 bytes in all).
        properties = ctypes.create_string_buffer(4096)
        vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
        name = properties.raw[20:276].partition(b"\0")[0].decode("utf-8", errors="replace")
        found[name] = properties.raw[16] != 4  # the type of devices that are a CPU
    return found


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
