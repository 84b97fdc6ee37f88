"""What runs beside a generation neither stops it nor changes a bit of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest

from litertlm import Client
from litertlm._engine.native.engine import NativeEngine
from litertlm._engine.native.generation import Generation
from litertlm._engine.native.settings import Decoding
from litertlm.options import Sampler

GREEDY = Sampler(temperature=0.0, top_k=1, top_p=1.0, min_p=0.0, seed=0)
DRAWN = Sampler(temperature=3.0, top_k=50, top_p=0.95, min_p=0.0, seed=11)
STORY = "<|turn>user\nTell me a story.<turn|>\n<|turn>model\n"
# Rows of prompts in a pass that somebody else waits for: LTLM__SMALL_CHUNK in csrc/native/batcher.h.
SMALL_CHUNK = 64

# So that no prompt is found in the KV cache of an earlier one.
numbers = itertools.count()


@pytest.fixture
def engine(native: Client) -> NativeEngine:
    """Of text alone."""
    assert isinstance(native._engine, NativeEngine)
    return native._engine


def story(engine: NativeEngine) -> list[int]:
    """A short prompt."""
    return [*engine.start_tokens, *engine.tokenize(STORY)]


def long_prompt(engine: NativeEngine, length: int) -> list[int]:
    """So many tokens."""
    ids = [*engine.start_tokens, *engine.tokenize(f"{next(numbers)} " + "many words " * length)]
    return ids[:length]


@contextmanager
def running(
    engine: NativeEngine, ids: list[int], tokens: int, sampler: Sampler = GREEDY, *, keep_logits: bool = False
) -> Iterator[Generation]:
    """A generation that nothing ends but the number of its tokens."""
    with closing(engine.new_sequence()) as sequence, closing(Generation(sequence)) as generation:
        generation.start(ids, Decoding(tokens, sampler, keep_logits=keep_logits))
        yield generation


def wait_for(generation: Generation, tokens: int) -> None:
    """Until it has written so many."""
    while generation.progress.generated_tokens < tokens and not generation.ended:
        generation.take(None)


def test_a_long_prompt_does_not_stop_who_writes(engine: NativeEngine) -> None:
    """While it is read, every pass brings a token of the other one, too.

    A pass has a chunk of the prompt at most. So by the time that the prompt is read, as many tokens have been
    written as it has chunks, however the threads were scheduled.
    """
    length = 1500
    for _ in range(20):  # the writer may reach the end of the context before the prompt begins to be read
        with running(engine, story(engine), engine.max_context) as writer:
            wait_for(writer, 1)
            before = writer.progress.generated_tokens
            with running(engine, long_prompt(engine, length), 1) as reader:
                wait_for(reader, 1)
                assert reader.progress.prompt_tokens > length - 16
                writer.take(0)
                if not writer.ended:
                    assert (
                        writer.progress.generated_tokens - before
                        >= reader.progress.prompt_tokens // SMALL_CHUNK
                    )
                    return
    raise AssertionError("the writer was through every time")


def test_nobody_waits_for_two_prompts(engine: NativeEngine) -> None:
    """Two long ones share the chunk of a pass, and who writes goes on beside both."""
    length = 900
    for _ in range(20):
        with running(engine, story(engine), engine.max_context) as writer:
            wait_for(writer, 1)
            before = writer.progress.generated_tokens
            with (
                running(engine, long_prompt(engine, length), 1) as first,
                running(engine, long_prompt(engine, length), 1) as second,
            ):
                for reader in (first, second):
                    wait_for(reader, 1)
                writer.take(0)
                if not writer.ended:
                    assert writer.progress.generated_tokens - before >= 2 * (length - 16) // SMALL_CHUNK
                    return
    raise AssertionError("the writer was through every time")


@pytest.mark.parametrize("sampler", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_company_changes_not_a_bit(engine: NativeEngine, sampler: Sampler) -> None:
    """Tokens and the logits of the last one, whoever begins, reads, writes and is cancelled meanwhile."""
    tokens = 40

    def written(generation: Generation) -> tuple[list[int], bytes]:
        ids: list[int] = []
        while not generation.ended:
            ids += generation.take(None)[0]
        return ids, generation.logits(engine.vocabulary).tobytes()

    with running(engine, story(engine), tokens, sampler, keep_logits=True) as generation:
        alone = written(generation)
    assert len(alone[0]) == tokens
    assert np.isfinite(np.frombuffer(alone[1], np.float32)).all()
    for round_ in range(6):
        with (
            running(engine, story(engine), 500, DRAWN) as cancelled,
            running(engine, story(engine), tokens, sampler, keep_logits=True) as generation,
            running(engine, long_prompt(engine, 700), 1) as prompt,
            running(engine, long_prompt(engine, 30), 20),
            running(engine, long_prompt(engine, 300), 0),
        ):
            if round_ % 2:
                wait_for(cancelled, 3)
            cancelled.cancel()
            if round_ % 3:
                prompt.cancel()
            assert written(generation) == alone
