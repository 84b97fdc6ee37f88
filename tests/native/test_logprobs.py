"""How likely the model found what it said."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from litertlm import AsyncClient, Client, Lark, Regex, Reply, TokenLogprob, tool

STORY = "Tell me a story."
GREEDY = {"temperature": 0}
# Where rows are computed together, the last bits of a sum may be others.
ROUNDING = 2e-2


def written(tokens: tuple[TokenLogprob, ...]) -> str:
    """What tokens spell."""
    return b"".join(token.bytes for token in tokens).decode("utf-8", "replace")


def test_a_reply_is_as_likely_as_its_score(native: Client) -> None:
    """Token by token; the score computes them from the text."""
    with native.chat(sampler=GREEDY, max_output_tokens=40) as chat:
        prompt = chat.render(STORY)
        reply = chat.send(STORY, logprobs=True)
    scored = native.score(reply.text, after=prompt).tokens
    told = [token.logprob for token in reply.logprobs]
    assert told[: len(scored)] == pytest.approx(scored, abs=ROUNDING)
    assert len(told) == reply.usage.completion_tokens <= len(scored) + 1  # one more ends the reply
    assert max(told) <= 0


def test_a_continued_text_is_as_likely_as_its_score(native: Client) -> None:
    """Here too; and its tokens spell it."""
    reply = native.complete("Once upon", sampler=GREEDY, max_output_tokens=12, logprobs=True)
    assert written(reply.logprobs).startswith(reply.text)
    told = [token.logprob for token in reply.logprobs][: len(native.tokenize(reply.text))]
    assert told == pytest.approx(native.score(reply.text, after="Once upon").tokens, abs=ROUNDING)


@pytest.mark.parametrize(
    "options",
    [
        {"logit_bias": {10: -100}, "repetition_penalty": 3.0, "frequency_penalty": 2.0},
        {"sampler": {"temperature": 3.0, "top_k": 50, "top_p": 1.0, "seed": 1}},
        {"response_format": Regex("[A-Z][a-z]{5} [0-9]{4}")},
    ],
    ids=lambda options: next(iter(options)),
)
def test_it_is_what_the_model_finds_itself(native: Client, options: dict[str, Any]) -> None:
    """Before penalties, biases, temperature and form."""
    with native.chat(max_output_tokens=8, **{"sampler": GREEDY, **options}) as chat:
        prompt = chat.render(STORY)
        reply = chat.send(STORY, logprobs=True)
    ids, before, compared = native.tokenize(prompt), prompt, 0
    for token in reply.logprobs:
        ids.append(token.id)
        if native.tokenize(before + token.text) != ids:
            break  # from here on the text is encoded in another way than it was written
        assert token.logprob == pytest.approx(native.score(token.text, after=before).total, abs=ROUNDING)
        before, compared = before + token.text, compared + 1
    assert compared


def test_the_likeliest_tokens_stand_beside_each(native: Client) -> None:
    """In their order, with what they spell; a greedy reply consists of the first ones."""
    reply = native.generate(STORY, sampler=GREEDY, max_output_tokens=20, logprobs=True, top_logprobs=20)
    for token in reply.logprobs:
        assert len(token.top_logprobs) == 20
        assert (token.id, token.logprob) == (token.top_logprobs[0].id, token.top_logprobs[0].logprob)
        assert token.bytes == token.top_logprobs[0].bytes
        assert all(one.logprob >= other.logprob for one, other in pairwise(token.top_logprobs))
        assert len({other.id for other in token.top_logprobs}) == 20
        assert math.fsum(math.exp(other.logprob) for other in token.top_logprobs) <= 1 + 1e-3


def test_chunks_bring_the_tokens_of_their_text(native: Client) -> None:
    """Together they are those of the reply, each with the piece that it belongs to."""
    with native.chat(sampler=GREEDY, max_output_tokens=40, logprobs=True) as chat:
        chunks = list(chat.send_stream(STORY))
    reply = chunks[-1].reply
    assert reply is not None
    assert tuple(token for chunk in chunks for token in chunk.logprobs) == reply.logprobs
    shown = ""
    for chunk in chunks:
        shown += chunk.text
        assert not chunk.text or chunk.text.strip() in written(chunk.logprobs)
    assert shown == reply.text


def test_a_character_of_several_tokens_comes_with_all_of_them(native: Client) -> None:
    """Each token has its bytes."""
    form = Lark('start: "日本 ✓"')
    chunks = list(native.generate_stream("Say it.", response_format=form, logprobs=True))
    reply = chunks[-1].reply
    assert reply is not None
    assert reply.text == "日本 ✓"
    assert written(reply.logprobs).startswith(reply.text)
    assert any("\ufffd" in token.text for token in reply.logprobs)
    assert all(written(chunk.logprobs).startswith(chunk.text) for chunk in chunks if chunk.text)


def test_all_that_was_generated_is_told(native: Client) -> None:
    """Thinking and control markers too, and the token that completes a stop text."""
    thought = native.generate(
        "What is 2 plus 3?", thinking=True, sampler=GREEDY, max_output_tokens=200, logprobs=True
    )
    assert thought.thinking
    assert thought.thinking in written(thought.logprobs)
    assert thought.text in written(thought.logprobs)
    assert len(thought.logprobs) == thought.usage.completion_tokens
    whole = native.generate(STORY, sampler=GREEDY, max_output_tokens=40).text
    stop = whole.split()[3]
    reply = native.generate(STORY, sampler=GREEDY, max_output_tokens=40, stop=stop, logprobs=True)
    assert stop not in reply.text
    assert stop in written(reply.logprobs)
    assert stop not in written(reply.logprobs[:-1])


def test_each_generation_of_a_turn_has_its_own(native: Client) -> None:
    """The reply has those of its text."""

    @tool
    def calculator(expression: str) -> dict[str, int]:
        """Calculate.

        Args:
            expression: For example 12 * 7.
        """
        return {"result": 84}

    with native.chat(tools=[calculator], sampler=GREEDY, max_output_tokens=60, logprobs=True) as chat:
        reply: Reply = chat.send("What is 12 * 7?")
    assert len(reply.hops) == 2
    assert reply.logprobs == reply.hops[-1].logprobs
    assert "calculator" in written(reply.hops[0].logprobs)
    assert reply.text in written(reply.logprobs)
    for hop in reply.hops:
        assert len(hop.logprobs) == hop.usage.completion_tokens


def test_they_come_with_asyncio_too(model_path: Path) -> None:
    """In replies and in chunks."""

    async def talk() -> None:
        async with AsyncClient(model_path, engine="native") as client:
            chat = await client.chat(sampler=GREEDY, max_output_tokens=8, logprobs=True)
            async with chat.send_stream(STORY) as stream:
                told = [token async for chunk in stream for token in chunk.logprobs]
            assert tuple(told) == stream.reply.logprobs
            alone = await client.generate(STORY, sampler=GREEDY, max_output_tokens=8, logprobs=True)
            assert [token.id for token in alone.logprobs] == [token.id for token in told]

    asyncio.run(talk())


def test_nothing_is_told_unless_it_is_asked_for(native: Client) -> None:
    """Neither in the reply nor on the way."""
    with native.chat(max_output_tokens=4, logprobs=True) as chat:
        assert chat.send("Hi").logprobs
        chunks = list(chat.send_stream("Hi", logprobs=False))
        assert not any(chunk.logprobs for chunk in chunks)
        assert chunks[-1].reply is not None
        assert chunks[-1].reply.logprobs == ()
