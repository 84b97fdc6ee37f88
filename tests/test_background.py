"""What is left to do is done in order, on a thread that is there only while it is needed."""

from __future__ import annotations

import logging
import threading

import pytest

from litertlm._engine.background import Background


def test_jobs_are_done_in_order() -> None:
    """One after another, all on the same thread."""
    background, done, gate = Background(), [], threading.Event()
    threads = set()
    background.submit(lambda: gate.wait(60) and None)
    for number in range(20):

        def job(number: int = number) -> None:
            threads.add(threading.get_ident())
            done.append(number)

        background.submit(job)
    assert done == []
    gate.set()
    background.wait()
    assert done == list(range(20))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_thread_comes_back() -> None:
    """After it was gone."""
    background, done = Background(), []
    for number in range(3):
        background.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        background.wait()
    assert done == [0, 1, 2]


def test_a_job_may_leave_a_job_and_wait() -> None:
    """As a destructor does that happens to run on the thread."""
    background, done = Background(), []

    def job() -> None:
        background.submit(lambda: done.append("second"))
        background.wait()
        done.append("first")

    background.submit(job)
    background.wait()
    assert done == ["first", "second"]


def test_a_failure_is_logged_and_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to raise it to."""
    background, done = Background(), []

    def fail() -> None:
        raise ValueError("no")

    with caplog.at_level(logging.ERROR, "litertlm"):
        background.submit(fail)
        background.submit(lambda: done.append("rest"))
        background.wait()
    assert done == ["rest"]
    assert "ValueError: no" in caplog.text


def test_without_threads_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the interpreter is going."""

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    background, done = Background(), []
    background.submit(lambda: done.append("done"))
    background.wait()
    assert done == ["done"]
