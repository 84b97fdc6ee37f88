"""Weights and scales of any kind: the file is refused as damaged, or it says something and ends."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from litertlm import Client, ModelFileError
from litertlm._engine.native.plan import Matrix, Op, Plan, plan
from litertlm.modelfile import open_model

TOKENS = 12
QUESTION = "Hello!"


@pytest.fixture(scope="module")
def planned(model_path: Path) -> Plan:
    """The plan of the model, which says where its weights are."""
    with open_model(model_path) as model:
        return plan(model)


def matrices(planned: Plan, *ops: Op) -> list[Matrix]:
    """What steps of some kinds read."""
    numbers = {number for step in planned.steps if step.op in ops for number in step.matrices}
    return [planned.matrices[number] for number in sorted(numbers)]


def scales(model: bytearray, chosen: Sequence[Matrix], value: float, every: int) -> None:
    """Every so many scales become a value."""
    for matrix in chosen:
        for row in range(0, matrix.scale_count, every):
            struct.pack_into("<f", model, matrix.scales + 4 * row, value)


def weights(model: bytearray, chosen: Sequence[Matrix], fill: Callable[[int], bytes]) -> None:
    """All weights become others."""
    for matrix in chosen:
        size = matrix.rows * matrix.columns
        model[matrix.data : matrix.data + size] = fill(size)


def answers(path: Path, data: bytes, **sampler: float) -> str:
    """What a model of this content says, while another client of the process goes on."""
    path.write_bytes(data)
    with Client(path, engine="native", vision_backend="off", audio_backend="off") as client:
        reply = client.generate(QUESTION, sampler=sampler, max_output_tokens=TOKENS)
        assert reply.usage.completion_tokens <= TOKENS
        return reply.text


@pytest.fixture
def whole(native: Client) -> Callable[[], str]:
    """What a client of the model as it is says."""
    return lambda: native.generate(QUESTION, sampler={"temperature": 0}, max_output_tokens=TOKENS).text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("op", [Op.LINEAR, Op.EMBED])
@pytest.mark.parametrize("engine", ["native", "auto"])
def test_scales_that_are_not_finite(
    model_path: Path, tmp_path: Path, planned: Plan, value: float, op: Op, engine: str
) -> None:
    """One is enough for the file to be refused; the error says which."""
    model = bytearray(model_path.read_bytes())
    matrix = matrices(planned, op)[-1]
    struct.pack_into("<f", model, matrix.scales + 4 * 3, value)
    path = tmp_path / "damaged.litertlm"
    path.write_bytes(model)
    with pytest.raises(ModelFileError, match="a scale of row 3 is not finite") as caught:
        Client(path, engine=engine)
    assert caught.value.place == "weights"


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, 1e-45, -1e-40, 1e-30, 1e20, 3.4e38, -3.4e38])
@pytest.mark.parametrize(("every", "temperature"), [(1, 0.0), (1, 1.0), (7, 1.0)])
def test_finite_scales_of_any_kind(
    model_path: Path,
    tmp_path: Path,
    planned: Plan,
    whole: Callable[[], str],
    value: float,
    every: int,
    temperature: float,
) -> None:
    """They are multiplied with; what comes of it ends, and other clients do not notice."""
    before = whole()
    model = bytearray(model_path.read_bytes())
    scales(model, matrices(planned, Op.LINEAR), value, every)
    answers(tmp_path / "damaged.litertlm", bytes(model), temperature=temperature, seed=1)
    scales(model, matrices(planned, Op.EMBED), value, every)
    answers(tmp_path / "damaged.litertlm", bytes(model), temperature=temperature, seed=1)
    assert whole() == before


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("copy", ["mapped", "copied"])
def test_random_weights(
    model_path: Path, tmp_path: Path, planned: Plan, whole: Callable[[], str], seed: int, copy: str
) -> None:
    """With random scales of every size among them."""
    before = whole()
    rng = random.Random(seed)
    model = bytearray(model_path.read_bytes())
    weights(model, matrices(planned, Op.LINEAR, Op.EMBED), rng.randbytes)
    for matrix in matrices(planned, Op.LINEAR, Op.EMBED):
        for row in range(matrix.scale_count):
            value = rng.choice((-1, 1)) * 10.0 ** rng.uniform(-45, 38)
            struct.pack_into("<f", model, matrix.scales + 4 * row, value)
    path = tmp_path / "random.litertlm"
    path.write_bytes(model)
    with Client(path, engine="native", vision_backend="off", audio_backend="off", weights=copy) as client:
        with client.chat(sampler={"temperature": 1.0, "seed": seed}) as chat:
            first = chat.send(QUESTION, max_output_tokens=TOKENS)
            chat.send("And then?", max_output_tokens=TOKENS)
            assert chat.history[1].text == first.text
        list(client.score("Hello there", after=QUESTION).tokens)
    assert whole() == before


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_weights_that_are_all_the_same(model_path: Path, tmp_path: Path, planned: Plan, byte: int) -> None:
    """The extremes of what sums can be."""
    model = bytearray(model_path.read_bytes())
    weights(model, matrices(planned, Op.LINEAR, Op.EMBED), lambda size: bytes([byte]) * size)
    answers(tmp_path / "damaged.litertlm", bytes(model), temperature=0)
