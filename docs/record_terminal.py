"""Makes docs/terminal.svg: runs the commands of the README for real and draws what they print.

python docs/record_terminal.py
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parent
COMMANDS = (
    'litertlm run "Hello! Who are you?"',
    'litertlm run "What colour is this?" --image examples/media/red_circle.png',
    'litertlm run "How many beeps do you hear?" --audio examples/media/three_beeps.wav',
    'litertlm run --stats "Tell me a story."',
)


def main() -> None:
    """Run and draw."""
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=DOCS.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        console.print(Text(done.stdout.rstrip()))
        if done.stderr:
            console.print(Text(done.stderr.rstrip(), style="dim"))
        console.print()
    (DOCS / "terminal.svg").write_text(console.export_svg(title="litertlm"), encoding="utf-8")


if __name__ == "__main__":
    main()
