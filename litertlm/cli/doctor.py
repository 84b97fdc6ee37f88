"""``litertlm doctor``: a report on this machine, as it is made."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from argparse import Namespace

from litertlm.cli.exits import FAILED, OK
from litertlm.cli.terminal import Paint, Spinner, clean, speaks_unicode, width
from litertlm.doctor import Backend, Check, Report, examine

__all__ = ["doctor"]

_SIGNS = {"ok": "✓", "warn": "!", "fail": "✗"}
_ASCII_SIGNS = {"ok": "+", "warn": "!", "fail": "x"}
_LABEL = 18


def doctor(arguments: Namespace) -> int:
    """Examine this machine and print what is found.

    Returns:
        The exit status: OK if the model can be run.
    """
    backends: dict[str | None, tuple[Backend, ...] | None]
    backends = {None: None, "cpu": ("cpu",), "gpu": ("cpu", "gpu")}
    checks: list[Check] = []
    findings = examine(arguments.model, backends[arguments.backend], timeout=arguments.timeout)
    while True:
        # A graphics driver may take a minute over its first model.
        with Spinner("Running the model…" if any(check.name == "GPU" for check in checks) else "Examining…"):
            check = next(findings, None)
        if check is None:
            break
        checks.append(check)
        if not arguments.json:
            _print(check)
    report = Report(tuple(checks))
    if arguments.json:
        document = {"ok": report.ok, "checks": [dataclasses.asdict(check) for check in report.checks]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        paint = Paint(sys.stdout)
        remarks = any(check.status == "warn" for check in checks)
        well = "The model runs here; what could be better is marked with !" if remarks else "All is well."
        print(f"\n{paint.bold(well) if report.ok else paint.red('The model cannot be run here.')}")
    return OK if report.ok else FAILED


def _print(check: Check) -> None:
    paint = Paint(sys.stdout)
    colour = {"ok": paint.green, "warn": paint.yellow, "fail": paint.red}[check.status]
    sign = (_SIGNS if speaks_unicode(sys.stdout) else _ASCII_SIGNS)[check.status]
    room = max(20, width() - _LABEL - 2)
    detail = textwrap.wrap(clean(check.detail, sys.stdout), room, break_on_hyphens=False) or [""]
    print(f"{colour(sign)} {check.name:<{_LABEL}}{detail[0]}")
    for line in detail[1:]:
        print(f"{'':{_LABEL + 2}}{line}")
    for line in textwrap.wrap(clean(check.hint, sys.stdout), room, break_on_hyphens=False):
        print(f"{'':{_LABEL + 2}}{paint.dim(line)}")
    sys.stdout.flush()
