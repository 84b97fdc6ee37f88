"""The plan of the bundled model says what the official engine computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from litertlm import Client
from litertlm._engine.native.plan import Op, Plan, WeightFormat, plan
from litertlm.bundled import bundled_model
from litertlm.modelfile import open_model

from .interpreter import Interpreter
from .surgery import Patient

WINDOW = 512  # of the model's sliding layers


@pytest.fixture(scope="module")
def path() -> Path:
    """The bundled model, whichever one the other tests are run with."""
    return Path(bundled_model())


@pytest.fixture(scope="module")
def planned(path: Path) -> Plan:
    """Its plan."""
    with open_model(path) as model:
        return plan(model)


@pytest.fixture(scope="module")
def official(path: Path) -> Iterator[Client]:
    """The official engine."""
    with Client(path, engine="litert") as opened:
        yield opened


def log_probabilities(planned: Plan, path: Path, prompt: list[int], reply: list[int]) -> np.ndarray:
    """Of every token at every place of a reply, [places, vocabulary], after a prompt."""
    logits = Interpreter(planned, path).run([*prompt, *reply])[len(prompt) - 1 : -1].astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def turn(text: str) -> str:
    """A prompt as the chat template renders it."""
    return f"<|turn>user\n{text}<turn|>\n<|turn>model\n"


@pytest.mark.parametrize(
    "text",
    ["Hello!", "What is 17 times 3?", "Who are you?", "My name is Anna. What is my name?", "Thank you"],
)
def test_greedy_replies_are_the_official_ones(official: Client, planned: Plan, path: Path, text: str) -> None:
    """Token by token, and as likely."""
    reply = official.complete(turn(text), sampler={"temperature": 0}, max_output_tokens=32).text
    tokens = official.tokenize(reply)
    expected = official.score(reply, after=turn(text)).tokens
    prompt = official.tokenize("<bos>" + turn(text))
    found = log_probabilities(planned, path, prompt, tokens)
    assert found.argmax(axis=1).tolist() == tokens
    assert len(expected) == len(tokens)
    assert found[range(len(tokens)), tokens] == pytest.approx(expected, abs=0.3)


def test_windows_are_exact(tmp_path: Path, path: Path) -> None:
    """With windows of five positions, the plan is the official engine's; with four or six it is not."""
    patient = Patient(path)
    for graph in (patient.model.graph(signature.graph) for signature in patient.model.signatures().values()):
        (minus,) = (each for each in graph.operators() if each.name == "SUB")
        begin, end = graph.tensor(minus.inputs[1]).data()
        patient.write(begin, (5).to_bytes(end - begin, "little"))
    edited = patient.save(tmp_path / "narrow.litertlm")
    with open_model(edited) as model:
        narrow = plan(model)
    assert [cache.window for cache in narrow.caches] == [5, 0] * 3
    prompts = ["Hello!", "What is 17 times 3?", "Who are you?"]
    errors: dict[int, list[float]] = {4: [], 5: [], 6: []}
    with Client(edited, engine="litert", cache_dir="off") as client:
        for prompt in (turn(text) for text in prompts):
            reply = client.complete(prompt, sampler={"temperature": 0}, max_output_tokens=20).text
            tokens = client.tokenize(reply)
            expected = np.array(client.score(reply, after=prompt).tokens)
            for window, found in errors.items():
                tried = with_window(narrow, window)
                got = log_probabilities(tried, edited, client.tokenize("<bos>" + prompt), tokens)
                found.extend(np.abs(got[range(len(tokens)), tokens] - expected))
    means = {window: np.mean(found) for window, found in errors.items()}
    assert means[5] < 0.2
    assert means[5] < min(means[4], means[6]) / 4


def with_window(planned: Plan, window: int) -> Plan:
    """The same plan with another window in its sliding layers."""
    return replace(
        planned,
        caches=tuple(replace(cache, window=window if cache.window else 0) for cache in planned.caches),
        steps=tuple(
            replace(step, shape=(step.shape[0], window)) if step.op is Op.ATTEND and step.shape[1] else step
            for step in planned.steps
        ),
    )


def test_everything_is_fused(planned: Plan) -> None:
    """Per layer: norms of heads and of the row; q, k and v in one product, gate and up in another."""
    ops = Counter(step.op for step in planned.steps)
    layers = 6
    assert ops[Op.ATTEND] == ops[Op.KV_STORE] == ops[Op.GATE] == layers
    assert ops[Op.ROPE] == 2 * layers
    assert ops[Op.RMS_NORM] == 7 * layers + 1
    assert Counter(len(step.matrices) for step in planned.steps if step.op is Op.LINEAR) == {
        3: layers,
        2: layers,
        1: 2 * layers + 1,
    }
    assert ops[Op.BINARY] == 2 * layers + 2  # residuals, and the angles of two rotary embeddings
    assert ops[Op.EMBED] == 1
    assert [step.f for step in planned.steps if step.op is Op.EMBED] == [pytest.approx([192**0.5])]


def test_what_it_says_of_the_model(planned: Plan) -> None:
    """Caches, windows, weights, sizes."""
    assert [cache.window for cache in planned.caches] == [WINDOW, 0] * 3
    assert {(cache.kv_heads, cache.head_dim) for cache in planned.caches} == {(2, 32)}
    assert (planned.vocabulary, planned.max_context) == (2048, 2048)
    assert planned.widths[planned.logits] == planned.vocabulary
    assert {matrix.format for matrix in planned.matrices} == {WeightFormat.INT8}
    assert not any(matrix.float_activations for matrix in planned.matrices)
    size = Path(bundled_model()).stat().st_size
    assert all(matrix.data + matrix.rows * matrix.columns <= size for matrix in planned.matrices)
    attends = [step for step in planned.steps if step.op is Op.ATTEND]
    assert [step.shape for step in attends] == [(6, WINDOW), (6, 0)] * 3
