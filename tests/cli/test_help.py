"""What ``--help`` says, and that the documentation says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import litertlm

from .programs import RunCommand

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS = ("run", "chat", "show", "doctor")


def documented(command: str) -> str:
    """The help of a command as the page has it."""
    found = re.search(
        rf"```text\n\$ {command} --help\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert found, f"docs/cli.md has no help of {command!r}"
    return found[1]


@pytest.mark.parametrize("command", ["litertlm", *(f"litertlm {name}" for name in COMMANDS)])
def test_the_page_has_the_help_as_it_is(cli: RunCommand, command: str) -> None:
    """Word for word; line breaks differ between versions of Python."""
    result = cli(*command.split()[1:], "--help")
    assert (result.status, result.err) == (0, "")
    assert documented(command).split() == result.out.split()


def test_no_command_is_a_call_for_help(cli: RunCommand) -> None:
    """The whole of it, not a complaint."""
    result = cli()
    assert result.status == 0
    assert result == cli("--help")


def test_version(cli: RunCommand) -> None:
    """Name and number."""
    assert cli("--version").out == f"litertlm {litertlm.__version__}\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["run", "--backend", "tpu", "Hi"]])
def test_a_wrong_command_line_is_status_2(cli: RunCommand, arguments: list[str]) -> None:
    """With the usage on stderr."""
    result = cli(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("usage: litertlm")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_nothing_heavy(option: str) -> None:
    """The engine and everything big wait until they are needed."""
    code = (
        "import sys; from litertlm.cli import main; main(sys.argv[1:]); "
        "heavy = {'litertlm._native', 'numpy', 'PIL', 'rich', 'prompt_toolkit', 'soundfile'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
