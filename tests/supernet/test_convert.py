"""Released checkpoints: the slices that their code takes, recomputed here row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcuformer.errors import ArtifactError
from mcuformer.space import SearchSpace
from mcuformer.subnet import build_block
from supernet.convert import ReleasedCheckpoint
from supernet.model import Supernet
from supernet.vit import Vit

DIM, DEPTH, HEADS, HIDDEN, PATCH, GRID = 24, 2, 3, 48, 4, 3
ATTN = HEADS * 8


def autoformer(factors: bool, rank: int = 18) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def fresh(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    tensors = {
        "cls_token": fresh(1, 1, DIM),
        "pos_embed": fresh(1, GRID**2 + 1, DIM),
        "patch_embed_super.proj.weight": fresh(DIM, 3, PATCH, PATCH),
        "patch_embed_super.proj.bias": fresh(DIM),
        "norm.weight": fresh(DIM),
        "norm.bias": fresh(DIM),
        "head.weight": fresh(10, DIM),
        "head.bias": fresh(10),
    }
    for index in range(DEPTH):
        prefix = f"blocks.{index}"
        for norm in ("attn_layer_norm", "ffn_layer_norm"):
            tensors |= {f"{prefix}.{norm}.{kind}": fresh(DIM) for kind in ("weight", "bias")}
        for kind in ("k", "v"):
            for axis in ("v", "h"):
                name = f"{prefix}.attn.rel_pos_embed_{kind}.embeddings_table_{axis}"
                tensors[name] = fresh(10, 8)
        shapes = {
            "attn.qkv": (3 * ATTN, DIM),
            "attn.proj": (DIM, ATTN),
            "fc1": (HIDDEN, DIM),
            "fc2": (DIM, HIDDEN),
        }
        for name, (out, features_in) in shapes.items():
            place = f"{prefix}.{name}"
            if factors:
                tensors[f"{place}1.weight"] = fresh(rank, features_in)
                tensors[f"{place}2.weight"] = fresh(rank, rank)
                tensors |= {f"{place}3.weight": fresh(out, rank), f"{place}3.bias": fresh(out)}
            else:
                tensors |= {f"{place}.weight": fresh(out, features_in), f"{place}.bias": fresh(out)}
    return tensors


def save(path: Path, factors: bool) -> tuple[dict[str, torch.Tensor], ReleasedCheckpoint]:
    tensors = autoformer(factors)
    torch.save({"model": tensors}, path)
    return tensors, ReleasedCheckpoint(path)


def test_a_subnet_has_their_slices(tmp_path: Path) -> None:
    tensors, released = save(tmp_path / "a.pth", factors=False)
    largest = released.largest()
    assert (largest.num_tokens, largest.relative_position, largest.blocks[0].num_heads) == (
        10,
        4,
        3,
    )
    blocks = (build_block(2, 8, 1.5), build_block(3, 8, 2.0))
    subnet = largest.model_copy(update={"embed_dim": 16, "blocks": blocks})
    weights = released.subnet_weights(subnet)
    Vit(subnet, (0.0,) * 3).load_state_dict(weights)  # every name and shape
    stored = tensors["blocks.0.attn.qkv.weight"]
    rows = [*range(0, 48, 3), *range(1, 48, 3), *range(2, 48, 3)]  # 3 Q = 48
    assert torch.equal(weights["blocks.0.attn.qkv.weight"], stored[rows, :16])
    assert torch.equal(weights["blocks.0.attn.qkv.bias"], tensors["blocks.0.attn.qkv.bias"][:48])
    assert torch.equal(weights["blocks.0.mlp.fc2.weight"], tensors["blocks.0.fc2.weight"][:16, :24])
    table = tensors["blocks.1.attn.rel_pos_embed_v.embeddings_table_h"]
    assert torch.equal(weights["blocks.1.attn.relative.value_columns"], table)
    wider = subnet.model_copy(update={"embed_dim": 32})
    with pytest.raises(ArtifactError, match="a subnet beyond the checkpoint"):
        released.subnet_weights(wider)


def test_three_factors_are_multiplied_out(tmp_path: Path) -> None:
    tensors, released = save(tmp_path / "m.pth", factors=True)
    subnet = released.largest().model_copy(update={"embed_dim": 20})
    blocks = (build_block(2, 8, 2.0),) * 2
    subnet = subnet.model_copy(update={"blocks": blocks})
    weights = released.subnet_weights(subnet, rank_ratio=0.5)
    x = torch.randn(20)
    permuted = [*range(0, 18, 3), *range(1, 18, 3), *range(2, 18, 3)]
    rows = [*range(0, 48, 3), *range(1, 48, 3), *range(2, 48, 3)]
    first, middle, last = (tensors[f"blocks.0.attn.qkv{n}.weight"] for n in (1, 2, 3))
    expected = last[rows] @ (middle[permuted] @ (first[permuted][:, :20] @ x))
    assert torch.allclose(weights["blocks.0.attn.qkv.weight"] @ x, expected, atol=1e-5)
    first, middle, last = (tensors[f"blocks.0.fc1{n}.weight"] for n in (1, 2, 3))
    expected = last[:40, :10] @ (middle[:10, :10] @ (first[:10, :20] @ x))
    assert torch.allclose(weights["blocks.0.mlp.fc1.weight"] @ x, expected, atol=1e-5)


def test_the_whole_supernet_equals_its_largest_subnet(tmp_path: Path) -> None:
    _, released = save(tmp_path / "a.pth", factors=False)
    subnet = released.largest()
    space = SearchSpace(
        img_size=12,
        in_chans=3,
        num_classes=10,
        rank_ratio=(1.0,),
        patch_size=(4,),
        embed_dim=(DIM,),
        depth=(DEPTH,),
        num_heads=(HEADS,),
        mlp_ratio=(2.0,),
        head_dim=8,
        class_token=True,
        relative_position=4,
        norm_eps=1e-5,
    )
    supernet = Supernet(space, space.points()[0], (0.0,) * 3).eval()
    supernet.load_state_dict(released.supernet_weights())
    vit = Vit(subnet, (0.0,) * 3).eval()
    vit.load_state_dict(released.subnet_weights(subnet))
    images = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        assert torch.equal(supernet(images, subnet), vit(images))


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": Path("/")}, path)
    with pytest.raises(ArtifactError, match=r"x\.pth: not a file of tensors alone"):
        ReleasedCheckpoint(path)
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(ArtifactError, match="not an AutoFormer or MCUFormer supernet"):
        ReleasedCheckpoint(path)
    path.write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    with pytest.raises(ArtifactError, match="not a file of tensors alone"):
        ReleasedCheckpoint(path)
