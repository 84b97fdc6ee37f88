"""Whatever happens in a turn, the chat is intact afterwards.

``LITERTLM_PROPERTY_STEPS`` makes a run longer: 50000 on the fake take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from litertlm import Client

from .machine import NeverCorrupt
from .stages import FakeStage, RealStage, Stage

STEPS_OF_A_RUN = 50


def run(stage: Callable[[int], Stage], steps: int, *, shrinks: bool) -> None:
    """That many steps, the same ones every time; ``shrinks``: a failure is made as short as can be."""
    phases = [Phase.generate, Phase.shrink] if shrinks else [Phase.generate]
    steps = int(os.environ.get("LITERTLM_PROPERTY_STEPS", steps))
    run_state_machine_as_test(
        lambda: NeverCorrupt(stage),
        settings=settings(
            max_examples=max(1, steps // STEPS_OF_A_RUN),
            stateful_step_count=min(steps, STEPS_OF_A_RUN),
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(0)
def test_chats_on_the_fake_engine(png: bytes, wav: bytes) -> None:
    """About 2,000 steps."""
    run(lambda context: FakeStage(context, png, wav), 2000, shrinks=True)


@pytest.mark.timeout(600)
def test_chats_on_the_real_engine(official_client: Client, png: bytes, wav: bytes) -> None:
    """Fewer, since a turn takes longer."""
    run(lambda context: RealStage(official_client, png, wav), 300, shrinks=False)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_chats_on_the_real_engine_for_long(official_client: Client, png: bytes, wav: bytes) -> None:
    """As many as on the fake."""
    run(lambda context: RealStage(official_client, png, wav), 2000, shrinks=False)
