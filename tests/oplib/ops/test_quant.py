from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import LoweringError
from oplib.ops.quant import affine, multiplier, quantize_weight, requantize, symmetric


@given(
    acc=st.integers(-(2**31), 2**31 - 1),
    factor=st.integers(0, 2**31 - 1),
    zero=st.integers(-128, 127),
)
def test_the_one_rounding_is_round_half_up(acc: int, factor: int, zero: int) -> None:
    exact = Fraction(acc * factor, 2**32) + Fraction(1, 2)
    expected = max(-128, min(127, exact.numerator // exact.denominator + zero))
    assert requantize(np.array([acc]), factor, zero)[0] == expected


def test_scales_no_multiplier_represents_are_refused() -> None:
    assert multiplier(0.25, "here")[0] == 2**30
    assert multiplier(1.0, "here", shift=8)[0] == 2**24
    with pytest.raises(
        LoweringError, match=r"blocks\.0\.fc1: .*got scale ratio 0\.5, expected below 0\.5"
    ):
        multiplier(np.array([0.1, 0.5]), "blocks.0.fc1")


def test_ranges_become_scales() -> None:
    assert symmetric(1.27).scale == pytest.approx(0.01)
    gelu_like = affine(-0.17, 4.0)
    assert gelu_like.scale == pytest.approx(4.17 / 255)
    codes = gelu_like.quantize(np.array([-0.17, 0.0, 4.0]))
    assert list(codes) == [-128, gelu_like.zero_point, 127]
    assert affine(-1.0, 0.9).zero_point == 0
    assert affine(2.0, 3.0).quantize(np.array([0.0]))[0] == affine(2.0, 3.0).zero_point


def test_weights_keep_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(5, 40))
    weight[2] = 0.0
    codes, scale = quantize_weight(weight, 1e-12)
    assert np.abs(codes * scale[:, None] - weight).max() <= scale.max() / 2 + 1e-12
    assert np.abs(codes).max() == 127
    assert not codes[2].any()
