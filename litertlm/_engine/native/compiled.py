"""A plan as the C engine takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from litertlm._engine.lib import ffi
from litertlm._engine.native.plan.steps import NONE, Plan, Step

__all__ = ["native_plan"]

# How many operands, outputs, matrices and dimensions a step has room for.
WIDTH = 4


@contextmanager
def native_plan(plan: Plan) -> Iterator[Any]:
    """The C struct of a plan; what it points to lives as long as the block."""
    matrices = ffi.new(
        "ltlm_matrix[]",
        [
            (
                int(matrix.format),
                matrix.rows,
                matrix.columns,
                matrix.data,
                matrix.scales,
                matrix.scale_count,
                matrix.float_activations,
            )
            for matrix in plan.matrices
        ],
    )
    constants = ffi.new("ltlm_constant[]", [(one.offset, one.width) for one in plan.constants])
    widths = ffi.new("int32_t[]", plan.widths)
    caches = ffi.new("ltlm_cache[]", [(one.kv_heads, one.head_dim, one.window) for one in plan.caches])
    steps = ffi.new("ltlm_step[]", [_step(step) for step in plan.steps])
    yield ffi.new(
        "ltlm_plan *",
        {
            "matrices": matrices,
            "matrix_count": len(plan.matrices),
            "floats": ffi.from_buffer("float[]", plan.floats),
            "float_count": len(plan.floats),
            "constants": constants,
            "constant_count": len(plan.constants),
            "widths": widths,
            "value_count": len(plan.widths),
            "caches": caches,
            "cache_count": len(plan.caches),
            "steps": steps,
            "step_count": len(plan.steps),
            "logits": plan.logits,
            "vocabulary": plan.vocabulary,
            "max_context": plan.max_context,
        },
    )


def _step(step: Step) -> dict[str, Any]:
    return {
        "op": int(step.op),
        "function": int(step.function or 0),
        "in": _padded(step.inputs, NONE),
        "out": _padded(step.outputs, NONE),
        "count": len(step.matrices),
        "matrix": _padded(step.matrices, 0),
        "bias": _padded(step.biases, NONE),
        "cache": step.cache,
        "shape": _padded(step.shape, 1),
        "stride_a": _padded(step.stride_a, 0),
        "stride_b": _padded(step.stride_b, 0),
        "offset_a": step.offset_a,
        "f": [*step.f, 0.0, 0.0][:2],
    }


def _padded(values: Sequence[int], filler: int) -> list[int]:
    return [*values, *[filler] * (WIDTH - len(values))]
