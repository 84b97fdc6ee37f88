"""Raw text is continued and scored apart from every conversation."""

from __future__ import annotations

import math
import threading

import pytest

from litertlm import (
    Cancelled,
    ClosedError,
    ContextOverflow,
    DeadlineExceeded,
    MessageError,
    OptionError,
    Sampler,
)
from litertlm._engine.seam import Engine
from litertlm.options import Regex, TurnOptions

from .conftest import Open, Said, say

GREEDY = Sampler(temperature=0)
PROMPT = "<|turn>user\nHello!<turn|>\n<|turn>model\n"
LONG = "word " * 1800


def complete(engine: Engine, prompt: str, max_output_tokens: int = 12) -> Said:
    """A greedy continuation."""
    return Said(engine.complete(prompt, TurnOptions(max_output_tokens=max_output_tokens, sampler=GREEDY)))


def test_a_text_is_continued(engine: Engine, opened: Open) -> None:
    """Given what the template would render, as a conversation answers."""
    said, answer = complete(engine, PROMPT), say(opened(), "Hello!", max_output_tokens=12)
    assert said.text == answer.text
    assert said.end.prompt_tokens == answer.end.prompt_tokens
    assert said.end.completion_tokens == answer.end.completion_tokens
    assert said.end.cut == answer.end.cut


def test_a_token_limit_cuts_it(engine: Engine) -> None:
    """And says so."""
    end = complete(engine, "once upon", 3).end
    assert (end.cut, end.completion_tokens) == (True, 3)


def test_the_sampler_counts(engine: Engine) -> None:
    """The same seed gives the same text, another one another."""

    def drawn(seed: int) -> str:
        hot = Sampler(temperature=2.0, top_k=200, top_p=1.0, seed=seed)
        return Said(engine.complete("once upon", TurnOptions(max_output_tokens=20, sampler=hot))).text

    assert drawn(1) == drawn(1) != drawn(2)


def test_without_a_limit_it_ends_with_the_context(engine: Engine) -> None:
    """Neither beyond it nor never."""
    limit = engine.info.max_context
    assert limit is not None
    end = complete(engine, "word " * (limit - 20), 10_000).end
    assert end.prompt_tokens + end.completion_tokens <= limit


def test_what_cannot_be_continued_is_refused(engine: Engine) -> None:
    """Nothing, what is too long, and options of conversations."""
    for bad in ("", "a\0b", "\ud800"):
        with pytest.raises(MessageError):
            engine.complete(bad, TurnOptions())
    with pytest.raises(ContextOverflow):
        engine.complete("word " * 5000, TurnOptions())
    with pytest.raises(OptionError, match="response_format"):
        engine.complete("x", TurnOptions(response_format=Regex("y")))


def test_it_can_be_cancelled(engine: Engine) -> None:
    """While it is read, and while it writes."""
    turn = engine.complete(LONG, TurnOptions(sampler=GREEDY))
    turn.start()
    turn.cancel()
    while turn.end is None:
        turn.take(None)
    assert isinstance(turn.end.error, Cancelled) or turn.end.error is None
    turn.close()


def test_it_can_be_left(engine: Engine) -> None:
    """While it is read; what comes next is not disturbed."""
    usual = complete(engine, PROMPT).text
    turn = engine.complete(LONG, TurnOptions(sampler=GREEDY))
    turn.start()
    turn.close()
    turn.close()
    with pytest.raises(ClosedError):
        turn.take(None)
    assert complete(engine, PROMPT).text == usual


def test_it_waits_in_the_queue(engine: Engine, opened: Open) -> None:
    """Behind a conversation's turn, and no longer than its timeout."""
    conversation = opened()
    with Held(engine):
        late = engine.complete(PROMPT, TurnOptions(timeout=0.01))
        with pytest.raises(DeadlineExceeded):
            late.start()
        late.close()
    assert say(conversation, "Hello!").text


class Held:
    """Holds an engine in another thread for as long as the block."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.held, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self) -> None:
        """Until the block ends."""
        with self.engine.queue.idle():  # type: ignore[attr-defined]
            self.held.set()
            self.over.wait(60)

    def __enter__(self) -> None:
        self.thread.start()
        self.held.wait(60)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def test_a_score_is_a_probability(engine: Engine) -> None:
    """Of every token, and their sum; what the model says itself is likelier than anything else."""
    text = complete(engine, PROMPT).text
    likely, unlikely = engine.score(PROMPT, text), engine.score(PROMPT, "Zebra zebra zebra")
    assert len(likely.tokens) == len(engine.tokenize(text))
    assert all(token <= 0 for token in likely.tokens)
    assert math.isclose(sum(likely.tokens), likely.total, rel_tol=1e-3, abs_tol=1e-3)
    assert likely.total / len(likely.tokens) > unlikely.total / len(unlikely.tokens)
    assert engine.score(PROMPT, text) == likely


def test_scoring_leaves_conversations_alone(engine: Engine, opened: Open) -> None:
    """Neither their replies nor their counts change."""
    conversation, other = opened(), opened()
    for each in (conversation, other):
        say(each, "Hello!")
    engine.score(PROMPT, "Hello!")
    complete(engine, PROMPT)
    after, usual = say(conversation, "Hello!"), say(other, "Hello!")
    assert (after.text, after.end.token_count) == (usual.text, usual.end.token_count)


def test_what_cannot_be_scored_is_refused(engine: Engine) -> None:
    """Nothing, and what is too long: the engine would write beyond its memory."""
    for prompt, text in (("", "x"), ("x", ""), ("x", "a\0")):
        with pytest.raises(MessageError):
            engine.score(prompt, text)
    with pytest.raises(ContextOverflow):
        engine.score("word " * 1200, "word " * 1200)
