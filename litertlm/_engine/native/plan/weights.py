"""Weights: from a tensor of the file to a matrix of the plan."""

from __future__ import annotations

from litertlm._engine.native.plan.steps import Matrix, WeightFormat
from litertlm._engine.native.plan.symbols import Stored
from litertlm._engine.native.plan.tflite import NotRecognised, Tensor

__all__ = ["matrix_of"]

_INTEGERS = {"int8": WeightFormat.INT8, "int4": WeightFormat.INT4, "int2": WeightFormat.INT2}
_A_BYTE = {WeightFormat.INT8: 1, WeightFormat.INT4: 2, WeightFormat.INT2: 4}
_BLOCK = 32
_MOST = 2**31 - 1


def matrix_of(weights: Stored, *, table: bool = False) -> Matrix:
    """Check the format of weights and say where they are in the file.

    Args:
        weights: Of two dimensions.
        table: Whether it is a table of embeddings, which is not multiplied with anything.

    Raises:
        NotRecognised: They are in a format that is not known.
        ModelFileError: Weights or scales are not where they should be.
    """
    tensor = weights.tensor
    if len(tensor.shape) != 2 or not all(0 < size <= _MOST for size in tensor.shape):
        raise NotRecognised(f"the weights {tensor.name!r} have the shape {tensor.shape}")
    if tensor.is_sparse:
        raise NotRecognised(f"the weights {tensor.name!r} are sparse")
    rows, columns = tensor.shape
    base = tensor.graph.model.source.base
    data = base + tensor.data()[0]
    if tensor.type == "float32":
        return Matrix(WeightFormat.FLOAT32, rows, columns, data, 0, 0, not table)
    plain = _INTEGERS.get(tensor.type)
    if plain is None or not tensor.is_quantised:
        raise NotRecognised(f"the weights {tensor.name!r} are of type {tensor.type or 'unknown'}")
    if columns % _A_BYTE[plain]:
        raise NotRecognised(f"a row of the weights {tensor.name!r} does not end with a byte")
    floats = weights.dequantised and not table
    blocks = tensor.blocks()
    if blocks is not None:
        scales, count = _block_scales(tensor, *blocks)
        return Matrix(WeightFormat.INT4_BLOCK, rows, columns, data, base + scales, count, floats)
    begin, count, dimension = tensor.scales()
    if count not in (1, rows) or (count > 1 and dimension != 0):
        raise NotRecognised(
            f"the weights {tensor.name!r} have {count} scales along dimension {dimension}, not one a row"
        )
    return Matrix(plain, rows, columns, data, base + begin, count, floats)


def _block_scales(tensor: Tensor, scales: Tensor, size: int) -> tuple[int, int]:
    if tensor.type != "int4" or size != _BLOCK or tensor.shape[1] % _BLOCK:
        raise NotRecognised(f"the weights {tensor.name!r} are {tensor.type} in blocks of {size}")
    count = tensor.elements // _BLOCK
    if scales.type != "float16" or scales.elements != count or count > _MOST:
        raise NotRecognised(
            f"the blocks of the weights {tensor.name!r} have scales of {scales.type} {scales.shape}"
        )
    return scales.data()[0], count
