"""A model that is not recognised completely is refused, and the refusal names the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from litertlm._engine.native.plan import NotRecognised, plan
from litertlm.bundled import bundled_model
from litertlm.modelfile import open_model

from .surgery import Patient

Edit = Callable[[Patient], None]


def unknown_operator(patient: Patient) -> None:
    """GELU becomes an operator that does not exist."""
    codes = patient.model._root.tables(1, 99, "code")
    patient.field(codes[patient.model.codes.index("GELU")], 3, "i", 9999)


def another_operator(name: str, replacement: str) -> Edit:
    """The first operator of a name becomes another one."""

    def edit(patient: Patient) -> None:
        patient.field(patient.first(name)._table, 0, "I", patient.model.codes.index(replacement))

    return edit


def zero_point(patient: Patient) -> None:
    """A zero point of the weights is not 0."""
    weights = patient.graph.tensor(patient.first("FULLY_CONNECTED").inputs[1])
    quantisation = weights._quantization()
    assert quantisation is not None
    span = quantisation.span(3, 8, 1 << 20, "zero points")
    assert span is not None
    patient.write(span[0] + 8 * 7, b"\x01")


def mask_of_a_graph(patient: Patient) -> None:
    """The first attention's mask is the negative of what it should be."""
    select = patient.first("SELECT_V2")
    patient.constant(select.inputs[1], "f", 1.0)


def half_a_mask(patient: Patient) -> None:
    """What should be hidden is hidden a little only."""
    select = patient.first("SELECT_V2")
    patient.constant(select.inputs[2], "f", -10.0)


def future_is_visible(patient: Patient) -> None:
    """The graph's own mask takes the place of the one that hides what comes after the row."""
    scores = patient.first("BATCH_MATMUL").outputs[0]
    masked = patient.first("ADD", lambda each: scores in each.inputs)
    patient.operand(masked, 1, patient.first("SELECT_V2").outputs[0])


def scrambled_positions(patient: Patient) -> None:
    """The positions that the window is made of do not ascend."""
    tensor = patient.graph.tensor(patient.first("GREATER").inputs[0])
    patient.write(tensor.data()[0], b"\x05")


def keys_of_another_layer(patient: Patient) -> None:
    """The second attention multiplies its scores with the values of the first layer."""
    products = [each for each in patient.operators if each.name == "BATCH_MATMUL"]
    patient.operand(products[3], 1, products[1].inputs[1])


def cache_used_too_early(patient: Patient) -> None:
    """Queries are multiplied with the cache as it came in."""
    update = patient.first("DYNAMIC_UPDATE_SLICE")
    patient.operand(patient.first("BATCH_MATMUL"), 1, update.inputs[0])


def mask_for_something_else(patient: Patient) -> None:
    """The mask is multiplied with."""
    mask = patient.model.signatures()["decode"].inputs["mask"]
    patient.operand(patient.first("MUL"), 0, mask)


def update_elsewhere(patient: Patient) -> None:
    """Keys are stored in another head than their own."""
    pack = patient.first("PACK")
    patient.constant(pack.inputs[0], "i", 1)


@pytest.mark.parametrize(
    ("edit", "node", "reason"),
    [
        (unknown_operator, "operator 9999", "not known"),
        (another_operator("SOFTMAX", "COS"), "COS", "attention scores"),
        (another_operator("BATCH_MATMUL", "MUL"), "MUL", "a KV cache"),
        (mask_of_a_graph, "SELECT_V2", "no mask"),
        (half_a_mask, "SELECT_V2", "no mask"),
        (future_is_visible, "SOFTMAX", "not hidden"),
        (scrambled_positions, "GREATER", "0, 1, 2"),
        (keys_of_another_layer, "BATCH_MATMUL", "not a pair"),
        (cache_used_too_early, "BATCH_MATMUL", "before it is updated"),
        (mask_for_something_else, "MUL", "the attention mask"),
        (update_elsewhere, "DYNAMIC_UPDATE_SLICE", "a part of a cache"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_node_is_named(tmp_path: Path, edit: Edit, node: str, reason: str) -> None:
    """By its operator, its number and the tensor that it makes."""
    patient = Patient(Path(bundled_model()))
    edit(patient)
    with (
        open_model(patient.save(tmp_path / "edited.litertlm")) as model,
        pytest.raises(NotRecognised) as caught,
    ):
        plan(model)
    said = caught.value.reason
    assert said.startswith(f"{node} (node ")
    assert f"of graph {patient.graph.number}, '" in said
    assert reason in said


def test_weights_are_named(tmp_path: Path) -> None:
    """When it is they that are not known."""
    patient = Patient(Path(bundled_model()))
    zero_point(patient)
    name = patient.graph.tensor(patient.first("FULLY_CONNECTED").inputs[1]).name
    with (
        open_model(patient.save(tmp_path / "edited.litertlm")) as model,
        pytest.raises(NotRecognised) as caught,
    ):
        plan(model)
    assert caught.value.reason == f"the zero points of the weights {name!r} are not 0"
