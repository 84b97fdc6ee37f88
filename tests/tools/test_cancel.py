"""A token is cancelled once, for everybody who follows it."""

from __future__ import annotations

import threading

import pytest

from litertlm import Cancelled, CancelToken


def test_a_new_token_is_not_cancelled() -> None:
    """Nothing is raised, and a wait ends with its timeout."""
    token = CancelToken()
    token.raise_if_cancelled()
    assert not token.cancelled
    assert not token.wait(0)
    assert token.reason == ""


def test_the_first_reason_stays() -> None:
    """Cancelling again changes nothing."""
    token = CancelToken()
    token.cancel("enough")
    token.cancel("later")
    assert token.cancelled
    assert token.wait(None)
    assert token.reason == "enough"
    with pytest.raises(Cancelled, match="enough"):
        token.raise_if_cancelled()


def test_children_follow_their_parent_until_detached() -> None:
    """Not the other way round."""
    parent = CancelToken()
    child, sibling, detached = CancelToken(parent), CancelToken(parent), CancelToken(parent)
    child.cancel("mine")
    assert not parent.cancelled
    detached.detach()
    parent.cancel("all")
    assert (child.reason, sibling.reason, detached.cancelled) == ("mine", "all", False)


def test_a_child_of_a_cancelled_parent_is_cancelled() -> None:
    """From its first moment."""
    parent = CancelToken()
    parent.cancel("before")
    assert CancelToken(parent).reason == "before"


def test_callbacks() -> None:
    """Once each, the late ones at once, none that was taken back, and one's failure is not the next one's."""
    token, called = CancelToken(), list[str]()
    token.add_callback(lambda: 1 / 0)
    token.add_callback(lambda: called.append("a"))
    forget = token.add_callback(lambda: called.append("b"))
    forget()
    forget()
    token.cancel()
    token.cancel()
    token.add_callback(lambda: called.append("late"))
    assert called == ["a", "late"]


def test_a_callback_may_use_its_token() -> None:
    """It is called outside the lock."""
    token, seen = CancelToken(), list[str]()
    token.add_callback(lambda: seen.append(token.reason) or token.cancel("again"))
    token.cancel("once")
    assert seen == ["once"]


def test_cancelling_from_many_threads_calls_back_once() -> None:
    """Whoever comes first."""
    token, called, together = CancelToken(), list[int](), threading.Barrier(8)

    def cancel() -> None:
        together.wait(30)
        token.cancel()

    token.add_callback(lambda: called.append(1))
    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert called == [1]
