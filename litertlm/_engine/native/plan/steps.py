"""What a model computes for one row, that is one token at one position: ``csrc/native/plan.h`` in Python.

The values are those of the C header, number for number; what a step does is described there. Tuples are as
long as they need to be: what is missing at their end is ``NONE`` for operands, 1 for shapes, 0 for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = [
    "NONE",
    "Activation",
    "Cache",
    "Constant",
    "Function",
    "Matrix",
    "Op",
    "Plan",
    "Step",
    "WeightFormat",
]

NONE = 0x7FFFFFFF
"""The operand that is none."""


class WeightFormat(IntEnum):
    """``ltlm_weight_format``."""

    INT8 = 1
    INT4 = 2
    INT2 = 3
    INT4_BLOCK = 4
    FLOAT32 = 5


class Op(IntEnum):
    """``ltlm_op``."""

    POSITION = 1
    EMBED = 2
    LINEAR = 3
    RMS_NORM = 4
    ROPE = 5
    GATE = 6
    KV_STORE = 7
    ATTEND = 8
    BINARY = 9
    UNARY = 10
    REDUCE = 11
    SOFTMAX = 12
    COPY = 13


class Activation(IntEnum):
    """``ltlm_activation``: the functions of a GATE."""

    SILU = 1
    GELU = 2
    GELU_TANH = 3
    SIGMOID = 4
    RELU = 5


class Function(IntEnum):
    """``ltlm_function``: the functions of BINARY, UNARY and REDUCE."""

    ADD = 1
    SUB = 2
    MUL = 3
    DIV = 4
    MAXIMUM = 5
    MINIMUM = 6
    POW = 7
    NEG = 32
    ABS = 33
    EXP = 34
    LOG = 35
    SQRT = 36
    RSQRT = 37
    SQUARE = 38
    TANH = 39
    LOGISTIC = 40
    COS = 41
    SIN = 42
    SILU = 43
    GELU = 44
    GELU_TANH = 45
    RELU = 46
    FLOOR = 47
    ROUND = 48
    SUM = 64
    MEAN = 65
    MAX = 66


@dataclass(frozen=True, slots=True)
class Matrix:
    """``ltlm_matrix``: weights in the file.

    Attributes:
        format: How they lie there.
        rows: Outputs, or tokens of a table of embeddings.
        columns: Inputs, or the width of a table of embeddings.
        data: Position of row 0 in the file, bytes.
        scales: Position of the scales in the file, bytes; 0 when there are none.
        scale_count: How many they are.
        float_activations: Whether activations stay float32.
    """

    format: WeightFormat
    rows: int
    columns: int
    data: int
    scales: int
    scale_count: int
    float_activations: bool = False


@dataclass(frozen=True, slots=True)
class Cache:
    """``ltlm_cache``: a KV cache.

    Attributes:
        kv_heads: Heads of keys and values.
        head_dim: Width of each.
        window: How many positions back anything looks, its own included; 0: all.
    """

    kv_heads: int
    head_dim: int
    window: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """``ltlm_step``: what is computed next; the fields mean what the header says for each op.

    Attributes:
        op: What it does.
        inputs: Operands: a value's index, ``~index`` of a constant, or ``NONE``.
        outputs: Indexes of the values that it writes.
        function: For BINARY, UNARY, REDUCE.
        matrices: Indexes of matrices; their number is ``count`` of the header.
        biases: Operands, one for each matrix of a LINEAR.
        cache: Index of a cache.
        shape: Dimensions.
        stride_a: Floats, of the first input.
        stride_b: Floats, of the second input.
        offset_a: Floats.
        f: Factors.
    """

    op: Op
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    function: Function | None = None
    matrices: tuple[int, ...] = ()
    biases: tuple[int, ...] = ()
    cache: int = 0
    shape: tuple[int, ...] = ()
    stride_a: tuple[int, ...] = ()
    stride_b: tuple[int, ...] = ()
    offset_a: int = 0
    f: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """``ltlm_constant``: ``width`` floats from ``offset`` on in :attr:`Plan.floats`."""

    offset: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """``ltlm_plan``: a whole model.

    Attributes:
        matrices: Its weights.
        floats: What constants refer to; contiguous float32.
        constants: Small tensors that steps use.
        widths: Of each value, floats a row.
        caches: One for each layer that has its own.
        steps: In the order in which they run.
        logits: The value that holds them: [vocabulary].
        vocabulary: Token ids are below it.
        max_context: Positions are below it.
    """

    matrices: tuple[Matrix, ...]
    floats: npt.NDArray[np.float32]
    constants: tuple[Constant, ...]
    widths: tuple[int, ...]
    caches: tuple[Cache, ...]
    steps: tuple[Step, ...]
    logits: int
    vocabulary: int
    max_context: int
