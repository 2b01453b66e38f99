"""A network described in timm's words."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.errors import LoweringError
from oplib.network.timm_vit import TimmVit, refuse_unknown_parts


def test_deit_tiny_has_the_published_number_of_parameters() -> None:
    """5,717,416 (Touvron et al., 2021; timm's deit_tiny_patch16_224)."""
    vit = TimmVit(embed_dim=192, num_heads=3)
    assert vit.subnet().num_params == 5_717_416


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, r"vit\.embed_dim: embed_dim is no multiple of num_heads"),
        ({"patch_size": 15}, r"vit\.patch_size: .*got 15, expected a divisor of 224"),
    ],
)
def test_what_timm_has_and_the_library_not(change: dict, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        TimmVit(**change).subnet()


def test_unknown_parts_are_named() -> None:
    weights = {"blocks.0.ls1.gamma": np.ones(4), "norm.weight": np.ones(4)}
    with pytest.raises(LoweringError, match=r"weights\.blocks\.0\.ls1\.gamma: layer scale"):
        refuse_unknown_parts(weights)
    refuse_unknown_parts({"norm.weight": np.ones(4)})
