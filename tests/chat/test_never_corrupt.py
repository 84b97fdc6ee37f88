"""Whatever happens in a turn, the chat is intact afterwards.

``LITERTLM_PROPERTY_STEPS`` makes a run longer: 50000 on the fake take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from litertlm import Client

from .company import busy
from .machine import NeverCorrupt
from .stages import CompanyStage, FakeStage, NativeStage, PairedStage, RealStage, Stage
from .tally import Tally

STEPS_OF_A_RUN = 50
# What a long run on our own engine must have met; in which part of a turn depends on the machine.
HAPPENS = (
    "Cancelled",
    "DeadlineExceeded",
    "KeyboardInterrupt",
    "ListenerFailed",
    "ContextOverflow",
    "ToolHopsExceeded",
    "a reply in a form",
    "a tool failed",
    "a tool ran",
    "ended by length",
    "ended by stop",
    "ended by tool_calls",
    "trimmed",
)

TIGHT = 250  # the smallest context that there is

Clients: TypeAlias = Callable[[int], Client]


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


@pytest.fixture(scope="module")
def native_clients(model_path: Path) -> Iterator[Clients]:
    """Clients of our own engine, by the context that is wanted.

    Most have one thread: a busy machine does not slow that down as much as threads that wait for each other.
    """
    clients: dict[int, Client] = {}

    def client(context: int) -> Client:
        if context not in clients:
            clients[context] = Client(
                model_path,
                engine="native",
                vision_backend="off",
                audio_backend="off",
                max_tokens=context,
                threads=None if context == TIGHT else 1,
            )
        return clients[context]

    yield client
    for opened in clients.values():
        opened.close()


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


@pytest.mark.timeout(600)
def test_chats_on_our_own_engine(native_clients: Clients, png: bytes, wav: bytes) -> None:
    """As many as take some seconds."""
    tally = Tally()
    run(lambda context: NativeStage(native_clients(context), png, wav, tally), 200, shrinks=False)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_chats_on_our_own_engine_for_long(native_clients: Clients, png: bytes, wav: bytes) -> None:
    """As many as on the fake, which meet everything that can happen to a turn."""
    tally = Tally()
    run(lambda context: NativeStage(native_clients(context), png, wav, tally), 2000, shrinks=False)
    missed = [kind for kind in HAPPENS if not any(met.startswith(kind) for met in tally.counts)]
    assert not missed, missed


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_chats_in_company(native_clients: Clients, png: bytes, wav: bytes) -> None:
    """Somebody else's turns run in the same passes over the weights, and are cancelled now and then."""
    tally = Tally()
    with ExitStack() as stack:
        company: dict[int, Client] = {}

        def stage(context: int) -> Stage:
            if context not in company:
                company[context] = native_clients(context)
                stack.enter_context(busy(company[context]))
            return CompanyStage(company[context], png, wav, tally)

        run(stage, 1000, shrinks=False)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_chats_that_change_engines(model_path: Path, png: bytes, wav: bytes) -> None:
    """A chat that is shown something goes on with the official engine, and comes back when it is undone."""
    tally = Tally()
    with Client(model_path, engine="native") as client:
        run(lambda context: PairedStage(client, png, wav, tally), 300, shrinks=False)
