"""Chats reach the engine in the order in which they asked."""

from __future__ import annotations

import gc
import threading

import pytest

from litertlm._engine.turns import TurnQueue


class Turn:
    """Holds the queue until it is over."""

    def __init__(self, queue: TurnQueue) -> None:
        self.queue = queue
        self.over = False

    def settle_if_over(self) -> bool:
        """As the queue asks its holder."""
        if self.over:
            self.queue.leave(self)
        return self.over


def wait_until_in_line(queue: TurnQueue, number: int) -> None:
    """Until that many are waiting."""
    with queue._changed:
        assert queue._changed.wait_for(lambda: len(queue._line) >= number, timeout=30)


def test_first_come_first_served() -> None:
    """Ten threads that asked in order are let in in that order."""
    queue = TurnQueue()
    first = Turn(queue)
    queue.enter(first)
    order: list[int] = []

    def take_a_turn(number: int) -> None:
        turn = Turn(queue)
        queue.enter(turn)
        order.append(number)
        queue.leave(turn)

    threads = []
    for number in range(10):
        threads.append(threading.Thread(target=take_a_turn, args=(number,)))
        threads[-1].start()
        wait_until_in_line(queue, number + 1)
    queue.leave(first)
    for thread in threads:
        thread.join()
    assert order == list(range(10))


def test_a_finished_holder_is_relieved() -> None:
    """Whoever waits settles for a holder that nobody reads from."""
    queue = TurnQueue()
    slow, other = Turn(queue), Turn(queue)
    queue.enter(slow)
    with pytest.raises(TimeoutError):
        queue.enter(other, timeout=0.05)
    slow.over = True
    assert queue.enter(other, timeout=30) < 30
    queue.leave(slow)  # no longer the holder: nothing happens
    with queue.if_idle() as idle:
        assert not idle
    queue.leave(other)
    with queue.if_idle() as idle:
        assert idle


def test_a_waiter_that_gives_up_leaves_the_line() -> None:
    """The next one is let in."""
    queue = TurnQueue()
    holder = Turn(queue)
    queue.enter(holder)
    with pytest.raises(TimeoutError):
        queue.enter(Turn(queue), timeout=0.01)
    queue.leave(holder)
    with queue.if_idle() as idle:
        assert idle


def test_a_holder_that_is_gone_holds_nothing() -> None:
    """However it went, without a word."""
    queue = TurnQueue()
    queue.enter(Turn(queue))
    gc.collect()
    assert queue.enter(Turn(queue), timeout=30) < 30
