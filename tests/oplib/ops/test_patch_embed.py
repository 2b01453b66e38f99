"""A patch embedding in passes gives the integers of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import Node, TensorType
from oplib.ops.base import LoweringContext
from oplib.ops.patch_operator import PassesAttributes, PatchAttributes
from oplib.ops.quant import symmetric, symmetric16
from oplib.ops.registry import OPERATORS


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
