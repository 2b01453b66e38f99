"""The joint supernet: one set of weights for every rank ratio and patch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import save_arrays
from mcuformer.space import SearchSpace
from supernet.checkpoint import model_arrays
from supernet.data import pad_value
from supernet.initialize import inherit
from supernet.model import Supernet
from supernet.tokenizer import pseudo_inverse_resize, resize_positions


def test_every_point_runs(digits_space: SearchSpace, preprocessing: Preprocessing) -> None:
    torch.manual_seed(0)
    supernet = Supernet(digits_space, None, pad_value(preprocessing)).eval()
    images = torch.randn(2, 1, 8, 8)
    rng = np.random.default_rng(0)
    for point in digits_space.points():
        subnet = digits_space.sample(point, rng)
        assert supernet(images, subnet).shape == (2, 10)
    # the full rank is min(in, out) of the largest layer, whatever ratio is sampled
    assert supernet.blocks[0].attn.qkv.v.weight.shape == (1, 96, 96)


def test_a_resized_kernel_embeds_a_resized_patch_alike() -> None:
    """Upsampled patches and the kernel of their size give the old embedding (FlexiViT, 3.4)."""
    kernel = torch.randn(3, 16, dtype=torch.float64)
    patch = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    larger = functional.interpolate(patch, (7, 7), mode="bilinear", antialias=True)
    resized = kernel @ pseudo_inverse_resize(4, 7).T.double()
    expected = patch.flatten(1) @ kernel.T
    assert torch.allclose(larger.flatten(1) @ resized.T, expected, atol=1e-4)


def test_positions_keep_constants_and_their_own_grid() -> None:
    positions = torch.randn(1, 16, 6)
    assert resize_positions(positions, 4) is positions
    constant = torch.full((1, 16, 6), 2.5)
    assert torch.allclose(resize_positions(constant, 3), torch.full((1, 9, 6), 2.5))


def test_a_point_inherits_what_its_subnets_compute(
    digits_space: SearchSpace, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    padding, path, rng = pad_value(preprocessing), tmp_path / "joint", np.random.default_rng(0)
    joint = Supernet(digits_space, None, padding).eval()
    save_arrays(path, model_arrays(joint))
    images = torch.randn(3, 1, 8, 8)
    for point in digits_space.points():
        supernet = Supernet(digits_space, point, padding).eval()
        inherit(supernet, path)
        largest = digits_space.largest(point)
        subnets = (
            [largest] if point.rank_ratio == 1.0 else [largest, digits_space.sample(point, rng)]
        )
        for subnet in subnets:
            difference = supernet(images, subnet) - joint(images, subnet)
            assert difference.abs().max() < 1e-4
    wider = digits_space.model_copy(update={"embed_dim": (32, 128)})
    with pytest.raises(ArtifactError, match="joint: not the joint supernet of this space: "):
        inherit(Supernet(wider, point, padding), path)
