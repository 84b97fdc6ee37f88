"""The rule by which `models.parity` judges what it measured; measuring needs the reference interpreter."""

from __future__ import annotations

import numpy as np

from models.parity import Array, Gap, cosines, passes

REFERENCE: Array = np.array([[5.0, 4.9, -3.0], [1.0, 7.0, 2.0]], np.float32)
SAME = Gap(REFERENCE, REFERENCE)


def test_another_token_passes_only_where_a_backend_could_have_chosen_it() -> None:
    """The reference's preference is held against the largest difference of the backends."""
    ours = Gap(REFERENCE + np.array([[-0.1, 0.1, 0.0], [0.0, 0.0, 0.0]], np.float32), REFERENCE)
    assert ours.other_tokens == 1
    assert not passes(ours, [SAME, Gap(REFERENCE + np.float32(0.05), REFERENCE)])
    assert passes(ours, [SAME, Gap(REFERENCE + np.float32(0.2), REFERENCE)])


def test_one_position_that_points_elsewhere_fails_the_file() -> None:
    """It is the least cosine that counts, whatever the likeliest token is."""
    elsewhere = REFERENCE.copy()
    elsewhere[0, 2] = 3.0
    ours = Gap(elsewhere, REFERENCE)
    assert ours.other_tokens == 0
    assert not passes(ours, [SAME])


def test_equal_logits_pass_equal_backends() -> None:
    """Nothing differs anywhere, and nothing is preferred."""
    assert passes(SAME, [SAME, SAME])


def test_cosine_is_of_rows() -> None:
    """Scale does not matter, direction does."""
    one = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    other = np.array([[3.0, 0.0], [-1.0, 1.0]], np.float32)
    np.testing.assert_allclose(cosines(one, other), [1.0, 0.0], atol=1e-6)
