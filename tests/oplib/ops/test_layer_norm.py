from __future__ import annotations

import math

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import LoweringContext
from oplib.ops.layer_norm import LayerNormAttributes, isqrt
from oplib.ops.quant import QuantParams
from oplib.ops.registry import OPERATORS


def test_square_root_bounds_of_the_paper() -> None:
    """Four steps give the floor of the root or one more, three at most ten more.

    Newton's steps (MCUFormer, supplement, algorithm 1) start at most at twice the root, at a
    relative error of 1, and turn an error e into e^2 / (2 (1 + e)): 0.25, 0.025, 0.000305, 4.6e-8
    after one to four. The worst roots are just above 2^15, where an odd number of bits rounds the
    start up: there three steps miss by 10.0 and four by 0.0015.
    """
    rng = np.random.default_rng(0)
    numbers = np.concatenate([np.arange(2**16), rng.integers(0, 2**32, 10**6)])
    floor = np.array([math.isqrt(int(n)) for n in numbers])
    four = isqrt(numbers, 4) - floor
    assert set(np.unique(four)) <= {0, 1}
    three = isqrt(numbers, 3) - floor
    assert three.min() >= 0
    assert three.max() <= 10
    large = numbers >= 2**20
    assert np.all(three[large] <= 0.001 * floor[large] + 1)
    assert isqrt(np.array([0]))[0] == 0


def test_the_stopping_rule_gives_the_floor() -> None:
    rng = np.random.default_rng(1)
    numbers = np.concatenate([np.arange(2**16), rng.integers(0, 2**32, 10**5), [2**32 - 1]])
    floor = np.array([math.isqrt(int(number)) for number in numbers])
    assert np.array_equal(isqrt(numbers, 0), floor)


@pytest.mark.parametrize(
    ("features", "scale", "message"),
    [
        (1025, 0.05, "too many features for a layer norm in integers"),
        (1024, 1e-8, "integer statistics would overflow 52 bits"),  # 1e-6 1024^2 / 1e-16 units
    ],
)
@pytest.mark.parametrize("op", ["layer_norm", "layer_norm_s16"])
def test_statistics_that_overflow_are_refused(
    preprocessing: Preprocessing, op: str, features: int, scale: float, message: str
) -> None:
    node = Node("blocks.0.norm1", op, ("x",), "y", LayerNormAttributes(eps=1e-6))
    quant = {"x": QuantParams(scale), "y": QuantParams(0.03)}
    params = {"weight": np.ones(features, np.float32), "bias": np.zeros(features, np.float32)}
    context = LoweringContext((TensorType((4, features)),), quant, preprocessing)
    with pytest.raises(LoweringError, match=rf"blocks\.0\.norm1: {message}"):
        OPERATORS[op].lower(node, params, context)
