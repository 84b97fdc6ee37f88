"""The rule by which `models.parity` judges what it measured; measuring needs the reference interpreter."""

from __future__ import annotations

import dataclasses

import numpy as np

from models.parity import Parity, cosines

SAME = Parity(
    cosine=np.array([1.0, 0.999], np.float32),
    backends=np.array([1.0, 0.997], np.float32),
    preference=np.zeros(2, np.float32),
    difference=np.array([0.0, 0.2], np.float32),
    backends_disagree=1,
    at_once=None,
)


def test_another_token_passes_only_where_the_backends_could_have_swapped_them() -> None:
    """The reference's preference is held against the backends' largest difference."""
    assert SAME.passes
    assert dataclasses.replace(SAME, preference=np.array([0.1, 0.0], np.float32)).passes
    assert not dataclasses.replace(SAME, preference=np.array([0.0, 0.3], np.float32)).passes


def test_one_position_that_points_elsewhere_fails_the_file() -> None:
    """It is the least cosine that counts, not the median."""
    assert not dataclasses.replace(SAME, cosine=np.array([1.0, 0.9979], np.float32)).passes


def test_equal_backends_do_not_fail_equal_tokens() -> None:
    """Float files: no difference anywhere, and no preference."""
    assert dataclasses.replace(SAME, difference=np.zeros(2, np.float32)).passes


def test_cosine_is_of_rows() -> None:
    """Scale does not matter, direction does."""
    one = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    other = np.array([[3.0, 0.0], [-1.0, 1.0]], np.float32)
    np.testing.assert_allclose(cosines(one, other), [1.0, 0.0], atol=1e-6)
