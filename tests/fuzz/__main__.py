"""Coverage-guided fuzzing, by atheris (from PyPI; nothing else needs it).

    python -m tests.fuzz planner CORPUS -max_total_time=600
    python -m tests.fuzz planner-bundled CORPUS ...
    python -m tests.fuzz container CORPUS ...

The corpus is a folder, empty at first; what comes after it is for libFuzzer.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

NAME = sys.argv.pop(1)
if not NAME.startswith("container"):
    import_module("litertlm.modelfile")  # what is imported already is not followed, which would take long

with atheris.instrument_imports(include=["litertlm"]):
    from litertlm.bundled import bundled_model

    from .decoder import model
    from .edits import MOST_EDITS, RECORD, mutate
    from .targets import ContainerTarget, PlannerTarget


def main() -> None:
    """Fuzz what the first argument names."""
    kind = ContainerTarget if NAME.startswith("container") else PlannerTarget
    data = Path(bundled_model()).read_bytes() if NAME.endswith("-bundled") else model()
    with tempfile.TemporaryDirectory() as folder:
        target = kind(data, Path(folder))
        length = f"-max_len={MOST_EDITS * RECORD.size}"
        atheris.Setup([*sys.argv, length, "-len_control=0"], target, custom_mutator=mutate)
        atheris.Fuzz()


main()
