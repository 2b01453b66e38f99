"""A supernet started from a dense network equals it, and its slices are the best ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import save_arrays
from mcuformer.space import SearchSpace
from supernet.checkpoint import model_arrays
from supernet.initialize import initialize
from supernet.model import Supernet

SHAPE = {"img_size": 16, "patch_size": 4, "num_classes": 5, "embed_dim": 24, "mlp_ratio": 3}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(
        img_size=16,
        in_chans=3,
        num_classes=5,
        rank_ratio=(0.5, 1.0),
        patch_size=(4,),
        embed_dim=(16, 24),
        depth=(1, 2),
        num_heads=(2, 3),
        mlp_ratio=(2.0, 3.0),
        head_dim=8,
        class_token=True,
        global_pool="token",
        relative_position=3,
        low_rank=("qkv", "proj", "fc1", "fc2"),
    )


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[VisionTransformer, Path]:
    torch.manual_seed(0)
    network = VisionTransformer(depth=2, num_heads=3, **SHAPE).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # no zero biases, no equal heads
            parameter.add_(0.05 * torch.randn(parameter.shape))
    path = tmp_path_factory.mktemp("dense") / "dense.safetensors"
    save_arrays(path, model_arrays(network))
    return network, path


@pytest.mark.parametrize("joint", [False, True])
def test_full_rank_is_exact(
    space: SearchSpace, dense: tuple[VisionTransformer, Path], joint: bool
) -> None:
    """Dense in a point's supernet; in the joint one, factors of full rank."""
    network, path = dense
    point = space.point_at((1, 0))
    supernet = Supernet(space, None if joint else point, (0.0,) * 3).eval()
    initialize(supernet, path)
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        logits = supernet(images, space.largest(point))
        assert torch.allclose(logits, network(images), atol=2e-5)


def test_leading_slices_are_the_best(
    space: SearchSpace, dense: tuple[VisionTransformer, Path]
) -> None:
    """Truncation errs by the discarded singular values; heads and units come in falling weight."""
    network, path = dense
    supernet = Supernet(space, space.point_at((0, 0)), (0.0,) * 3)
    initialize(supernet, path)
    fc1 = supernet.blocks[0].mlp.fc1
    own = (fc1.u.weight[0] @ fc1.v.weight[0]).detach().numpy()
    full = network.blocks[0].mlp.fc1.weight.detach().numpy()
    singular = np.linalg.svd(full, compute_uv=False)
    rank = fc1.v.weight.shape[1]
    assert rank == 12
    order = np.argsort(
        -np.linalg.norm(full, axis=1)
        * np.linalg.norm(network.blocks[0].mlp.fc2.weight.detach().numpy(), axis=0)
    )
    error = np.linalg.norm(own - full[order])
    assert error == pytest.approx(np.linalg.norm(singular[rank:]), rel=1e-4)


def test_more_than_the_supernet_holds_is_left_out_and_less_is_refused(
    space: SearchSpace, tmp_path: Path
) -> None:
    larger = VisionTransformer(depth=3, num_heads=3, class_token=False, global_pool="avg", **SHAPE)
    path = tmp_path / "x.safetensors"
    save_arrays(path, model_arrays(larger))
    pooled = SearchSpace.parse(space.dump() | {"class_token": False, "global_pool": "avg"})
    supernet = Supernet(pooled, pooled.point_at((1, 0)), (0.0,) * 3)
    initialize(supernet, path)
    assert torch.equal(supernet.pos_embed, larger.pos_embed)
    for change, message in (
        ({"embed_dim": [16, 32]}, r"not as wide or deep .*expected embed_dim 32"),
        ({"depth": [4]}, "got embed_dim 24, depth 3, expected .* at least 4"),
        ({"mlp_ratio": [4.0]}, "a layer smaller than the supernet's"),
        ({"head_dim": 7}, "heads of another width"),
    ):
        other = SearchSpace.parse(pooled.dump() | change)
        with pytest.raises(ArtifactError, match=message):
            initialize(Supernet(other, other.point_at((1, 0)), (0.0,) * 3), path)
    save_arrays(path, model_arrays(larger) | {"blocks.0.ls1.gamma": np.ones(24, np.float32)})
    with pytest.raises(ArtifactError, match=r"do not have: blocks\.0\.ls1\.gamma"):
        initialize(supernet, path)
