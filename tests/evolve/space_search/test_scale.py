"""Where the points of a grid lie, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evolve.space_search.scale import amounts, located
from mcuformer.space import SearchSpace

SPACE = SearchSpace.parse(
    {
        "img_size": [28, 32],
        "in_chans": 1,
        "num_classes": 10,
        "rank_ratio": [0.25, 0.5, 1.0],
        "patch_size": [4, 5, 7],
        "embed_dim": [32],
        "depth": [1],
        "num_heads": [2],
        "mlp_ratio": [2.0],
    }
)


def test_axes_amount_to_ratios_and_tokens() -> None:
    assert amounts(SPACE) == ((0.25, 0.5, 1.0), (49.0, 36.0, 16.0), (49.0, 64.0))
    single = SPACE.model_copy(update={"img_size": (28,), "mlp_rank_ratio": (0.5, 1.0)})
    assert amounts(single) == ((0.25, 0.5, 1.0), (0.5, 1.0), (49.0, 36.0, 16.0))


def test_every_scale_spans_the_grid() -> None:
    corners = [(0, 0, 0), (1, 1, 1), (2, 2, 1)]
    grid, log = (located(corners, amounts(SPACE), scale) for scale in ("grid", "log"))
    assert grid.tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 1]]
    np.testing.assert_allclose(log[[0, 2]], grid[[0, 2]])
    assert log[1] == pytest.approx([1, 2 * math.log(49 / 36) / math.log(49 / 16), 1])


def test_axes_of_equal_amounts_have_no_extent() -> None:
    assert located([(0, 0), (0, 1)], ((0.5,), (4.0, 4.0)), "log").tolist() == [[0, 0], [0, 0]]
