"""The weights of attention with relative positions."""

from __future__ import annotations

import numpy as np
import pytest

from oplib.ops.attention_relative import shift_weights


@pytest.mark.parametrize(
    ("weights", "total", "shifted", "shifted_total"),
    [
        ([32767, 0], 32767, [32767, 0], 32767),  # 15 bits
        ([32767, 1], 32768, [16383, 0], 16383),  # 16 bits
        ([32767, 32767, 32767, 3], 98304, [8191, 8191, 8191, 0], 24573),  # 17 bits
        ([100, 30], 127, [100, 30], 127),  # normalised: the nominal sum is kept
    ],
)
def test_weights_are_shifted_until_their_sum_has_15_bits(
    weights: list[int], total: int, shifted: list[int], shifted_total: int
) -> None:
    found, sums = shift_weights(np.array([weights]), np.array([[total]]))
    assert found.tolist() == [shifted]
    assert sums.tolist() == [[shifted_total]]
