"""The shape of the package: who imports whom, what is public, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import litertlm

PACKAGE = Path(litertlm.__file__).parent

# Each room may import the rooms before it, and itself.
ROOMS = (
    "messages",
    "errors",
    "options",
    "folders",
    "modelfile",
    "_native",
    "_engine",
    "media",
    "tools",
    "events",
    "observers",
    "templates",
    "bundled",
    "chat",
    "loading",
    "client_info",
    "client",
    "async_client",
    "testing",
    "engine_log",
    "doctor",
    "__init__",
    "telemetry",
    "cli",
    "__main__",
)

# What must not be loaded before it is used.
HEAVY = (
    "litertlm._native",
    "litert_lm",
    "PIL",
    "soundfile",
    "numpy",
    "soxr",
    "huggingface_hub",
    "pydantic",
    "jinja2",
    "tokenizers",
    "sentencepiece",
    "llguidance",
    "asyncio",
    "opentelemetry",
)


def modules() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(dotted: str) -> str:
    """The room that a dotted name of the package belongs to; the package itself is ``__init__``."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "__init__"


def imports(file: Path) -> Iterator[str]:
    """Dotted names of the package that a file imports, also inside functions and for type checking."""
    inside = file.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "litertlm")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*inside[: -node.level], *(node.module or "").split(".")]
                module = ".".join(part for part in base if part)
            else:
                module = node.module or ""
            if module == "litertlm":
                yield from (f"litertlm.{name.name}" for name in node.names)
            elif module.startswith("litertlm."):
                yield module


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_one_way(file: Path) -> None:
    """A room imports rooms before it; nothing imports the door's inside but the door."""
    relative = file.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    for imported in imports(file):
        assert ROOMS.index(room_of(imported)) <= ROOMS.index(room), f"{relative} imports {imported}"


def test_only_the_door_touches_native_code() -> None:
    """One module imports the compiled one."""
    importers = [
        str(file.relative_to(PACKAGE))
        for file in modules()
        if any(name.startswith("litertlm._native") for name in imports(file))
    ]
    assert importers == ["_engine/lib.py"]


def test_the_command_line_uses_public_names_only() -> None:
    """What the CLI can do, any user of the package can do."""
    for file in (PACKAGE / "cli").rglob("*.py"):
        for imported in imports(file):
            private = [part for part in imported.split(".")[1:] if part.startswith("_")]
            assert not private, f"{file.name} imports {imported}"


def test_chat_files_know_values_only() -> None:
    """A chat on disk has no engine, no model and no code in it."""
    allowed = ("litertlm.chat.portable", "litertlm.messages", "litertlm.options", "litertlm.errors")
    for file in (PACKAGE / "chat" / "portable").rglob("*.py"):
        for imported in imports(file):
            assert imported.startswith(allowed), f"{file.name} imports {imported}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert not {"pickle", "marshal", "shelve"} & set(names)


def test_public_names_are_listed_in_order() -> None:
    """``__all__`` is complete, sorted, and everything in it exists."""
    assert litertlm.__all__ == sorted(litertlm.__all__)
    for name in litertlm.__all__:
        assert getattr(litertlm, name) is not None


def test_an_import_loads_nothing_heavy() -> None:
    """The engine, imaging, sound and hub packages wait until they are used."""
    code = f"import litertlm, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_text_layer_waits_too() -> None:
    """Its packages are loaded when something is rendered, tokenized or constrained; native code never."""
    code = f"import litertlm._engine.native.text, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_modules_stay_small(file: Path) -> None:
    """About 400 lines are one subject; more are two."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 420
