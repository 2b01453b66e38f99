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
from supernet.extract import extract
from supernet.initialize import initialize, start
from supernet.model import Supernet
from supernet.vit import Vit

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


def network_of(space: SearchSpace, path: Path) -> Vit:
    """Write the largest network of a space at rank ratio 0.5, with random weights; return it."""
    torch.manual_seed(1)
    supernet = Supernet(space, space.point_at((0, 0)), (0.0,))
    vit = extract(supernet, space.largest(space.point_at((0, 0)))).eval()
    with torch.no_grad():
        for values in (*vit.parameters(), *vit.buffers()):  # no zero biases, no statistics of 0, 1
            values.add_(0.2 * torch.rand(values.shape))
    save_arrays(path, {name: x.astype(np.float16) for name, x in model_arrays(vit).items()})
    vit.load_state_dict({name: x.half().float() for name, x in vit.state_dict().items()})
    return vit


def test_convolutions_factors_and_relative_positions_are_copied(
    digits_space: SearchSpace, tmp_path: Path
) -> None:
    """A supernet of the network's own space computes the same; factors of rank r have rank r."""
    change = {"tokenizer": ["conv2", "patch"], "stem_dim": 12, "patch_size": [4]}
    change |= {"relative_position": 2, "rank_ratio": [0.5, 1.0], "class_token": True}
    space = SearchSpace.parse(digits_space.dump() | change)
    path = tmp_path / "x.safetensors"
    vit = network_of(SearchSpace.parse(space.dump() | {"tokenizer": ["conv2"]}), path)
    assert "blocks.0.attn.qkv.v.weight" in vit.state_dict()
    supernet = Supernet(space, space.point_at((0, 0)), (0.0,)).eval()
    initialize(supernet, path)
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        logits = vit(images)
        error = (supernet(images, vit.subnet) - logits).abs().max()
    assert error <= 1e-4 * float(logits.max() - logits.min())
    for name, value, message in (
        ("stem_dim", 8, r"convs\.0\.weight does not fit the supernet, got \(12, 1, 3, 3\)"),
        ("relative_position", 3, r"relative\.key_rows does not fit the supernet"),
    ):
        other = SearchSpace.parse(space.dump() | {name: value})
        with pytest.raises(ArtifactError, match=message.replace(", got", " .got")):
            initialize(Supernet(other, other.point_at((0, 0)), (0.0,)), path)


def test_a_network_starts_from_one_of_equal_shape(
    digits_space: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "x.safetensors"
    vit = network_of(digits_space, path)
    images = torch.rand(4, 1, 8, 8)
    same = Vit(vit.subnet, (0.0,)).eval()
    start(same, path)
    other = Vit(vit.subnet.model_copy(update={"num_classes": 3}), (0.0,)).eval()
    head = other.head.weight.clone()
    start(other, path)
    assert "its head is for other classes" in capsys.readouterr().err.replace("\n", " ")
    with torch.no_grad():
        assert torch.equal(same(images), vit(images))
        assert torch.equal(other.forward_features(images), vit.forward_features(images))
    assert torch.equal(other.head.weight, head)
    shallow = vit.subnet.model_copy(update={"blocks": vit.subnet.blocks[:-1]})
    with pytest.raises(ArtifactError, match=r"weights of another network: blocks\."):
        start(Vit(shallow, (0.0,)), path)
