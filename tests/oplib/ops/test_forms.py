"""Errors of the integer forms against exact arithmetic, as the method notes give them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import Node, TensorType
from oplib.ops.base import LoweringContext
from oplib.ops.gelu import Gelu, GeluPolynomial, GeluSigmoid
from oplib.ops.layer_norm import isqrt
from oplib.ops.patch_embed import PassesAttributes, PatchAttributes
from oplib.ops.quant import symmetric, symmetric16
from oplib.ops.registry import OPERATORS
from oplib.ops.softmax import ONE, exp2_polynomial, exp_shift


@pytest.mark.parametrize(
    ("form", "largest", "mean"),
    [(GeluSigmoid(), 0.0203, 0.0099), (GeluPolynomial(), 0.0182, 0.0065)],
)
def test_gelu_forms(form: GeluSigmoid | GeluPolynomial, largest: float, mean: float) -> None:
    """On |x| <= 4: 0.0203 and 0.0099 of x sigmoid(1.702 x), 0.0182 and 0.0065 of the polynomial."""
    t = np.arange(-4000, 4001)
    factor = round(1e-3 * form.input_factor * 2**16 * 2**8)  # a finer scale than a code's
    got = t * 1e-3 * form.factor((np.abs(t) * factor) >> 8, t < 0) / 2**form.bits
    error = np.abs(got - Gelu().real(t * 1e-3))
    assert error.max() == pytest.approx(largest, abs=2e-4)
    assert error.mean() == pytest.approx(mean, abs=2e-4)


def test_exponentials() -> None:
    """I-BERT's polynomial errs by 2.1e-3 at most; I-ViT's shifts are linear between powers of 2."""
    x = np.arange(0, 16 * 2**16, 37)
    polynomial = exp2_polynomial((x * np.log2(np.e)).astype(np.int64)) / ONE
    assert np.abs(polynomial - np.exp(-x / 2**16)).max() <= 2.1e-3 + 2 / ONE
    whole = (np.arange(8) * 2**16 / 1.4375).round().astype(np.int64)
    assert exp_shift(whole) == pytest.approx(ONE / 2.0 ** np.arange(8), abs=3)
    half = np.array([round(2**15 / 1.4375)])
    assert exp_shift(half)[0] == pytest.approx(ONE * 0.75, abs=3)
    assert exp_shift(np.array([2**21]))[0] == 0


def test_the_stopping_rule_gives_the_floor() -> None:
    rng = np.random.default_rng(1)
    numbers = np.concatenate([np.arange(2**16), rng.integers(0, 2**32, 10**5), [2**32 - 1]])
    floor = np.array([math.isqrt(int(number)) for number in numbers])
    assert np.array_equal(isqrt(numbers, 0), floor)


@pytest.mark.parametrize("patch_size", [*range(1, 13), 16, 18, 20, 22, 24, 26, 28, 32])
@pytest.mark.parametrize("wide", [False, True])
def test_passes_equal_the_whole(preprocessing: Preprocessing, patch_size: int, wide: bool) -> None:
    """For every kernel that divides the patch; at 16 bits, the whole is one pass."""
    rng = np.random.default_rng(patch_size)
    grid = -(-13 // patch_size)
    attrs = PatchAttributes(
        out_features=7,
        patch_size=patch_size,
        grid_size=grid,
        pad_before=(grid * patch_size - 13) // 2,
    )
    params = {
        "weight": rng.normal(size=(7, patch_size**2)),
        "bias": rng.normal(size=7),
        "position": rng.normal(size=(grid * grid, 7)),
        "pad": np.zeros(1),
    }
    images = rng.integers(0, 17, (3, 13, 13, 1)).astype(np.uint8)
    scale = symmetric16(60.0) if wide else symmetric(60.0)
    image = TensorType((13, 13, 1), "uint8")
    context = LoweringContext((image,), {"y": scale}, preprocessing)
    results = []
    for kernel in (k for k in range(1, patch_size + 1) if patch_size % k == 0):
        node = Node("n", "", ("x",), "y", PassesAttributes(**vars(attrs), kernel=kernel))
        operator = OPERATORS["patch_embed_passes_s16" if wide else "patch_embed_passes"]
        lowered = operator.lower(node, params, context)
        results.append(operator.run_integer(node, lowered, [images]))
    if not wide:
        node = Node("n", "", ("x",), "y", attrs)
        operator = OPERATORS["patch_embed"]
        lowered = operator.lower(node, params, context)
        results.append(operator.run_integer(node, lowered, [images]))
    assert all(np.array_equal(result, results[0]) for result in results)
