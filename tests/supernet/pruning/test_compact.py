"""Cutting groups out changes no output but that of the groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.network.reference import run_float
from oplib.network.vit import float_model
from supernet.checkpoint import model_arrays
from supernet.data import pad_value, to_tensor
from supernet.pruning.compact import compact, merge
from supernet.pruning.feedback import Feedback, read_masks, set_masks
from supernet.pruning.groups import GroupSet, group_sets
from supernet.pruning.settings import FeedbackPruning
from supernet.vit import Vit

FORMS: dict[str, dict[str, Any]] = {
    "low rank": {},
    "dense, class token": {"rank_ratio": 1.0, "class_token": True, "global_pool": "token"},
    "ratios of its own": {
        "rank_ratio": 0.5,
        "blocks": [
            {"num_heads": 3, "head_dim": 8, "mlp_ratio": 2.0, "fc1_rank_ratio": 1.0},
            {"num_heads": 2, "head_dim": 8, "mlp_ratio": 2.0, "proj_rank_ratio": 0.25},
        ],
    },
    "every layer low rank": {"low_rank": ("qkv", "proj", "fc1", "fc2"), "qkv_bias": False},
    "relative, convolution": {
        "relative_position": 2,
        "tokenizer": "conv1",
        "patch_size": 4,
        "low_rank": ("proj", "fc1"),
    },
}


def random_vit(subnet: SubnetConfig, preprocessing: Preprocessing, seed: int) -> Vit:
    torch.manual_seed(seed)
    vit = Vit(subnet, pad_value(preprocessing), drop_path_rate=0.2).eval()
    for name, values in vit.named_parameters():
        if name.endswith("bias"):  # at zero they would hide that one is applied or left out
            torch.nn.init.normal_(values, std=0.3)
    return vit


def random_masks(subnet: SubnetConfig, rng: np.random.Generator) -> dict[GroupSet, np.ndarray]:
    """Draw masks that keep one group of every set and one block, at least."""
    masks = {}
    stays = int(rng.integers(subnet.depth))
    for group_set in group_sets(subnet):
        kept = rng.random(group_set.size) < rng.random()
        if group_set.kind != "block" or group_set.block == stays:
            kept[rng.integers(group_set.size)] = True
        if rng.random() < 0.8:  # a set that is not there is kept
            masks[group_set] = kept
    return masks


def without(vit: Vit, masks: dict[GroupSet, np.ndarray]) -> Vit:
    """Set to zero what the groups that are not kept give to the network, by timm's names."""
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    part = {"head": "attn.proj", "hidden": "mlp.fc2"}
    linear = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    for (kind, index, name, _), kept in masks.items():
        prefix = f"blocks.{index}"
        if kind == "block":
            for path in ("attn.proj", "mlp.fc2"):
                for end in ("weight", "bias", "u.weight", "u.bias"):
                    if f"{prefix}.{path}.{end}" in state:
                        state[f"{prefix}.{path}.{end}"] *= float(kept[0])
            continue
        path = f"{prefix}.{part[kind]}" if name is None else f"{prefix}.{linear[name]}.u"
        path = f"{path}.v" if name is None and f"{path}.v.weight" in state else path
        columns = np.repeat(kept, state[f"{path}.weight"].shape[1] // len(kept))
        state[f"{path}.weight"] *= torch.from_numpy(columns.astype(np.float32))
    zeroed = Vit(vit.subnet, vit.pad_value).eval()
    zeroed.load_state_dict(state)
    return zeroed


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("form", FORMS)
def test_the_smaller_network_computes_what_the_masked_one_does(
    small_subnet: SubnetConfig, preprocessing: Preprocessing, form: str, seed: int
) -> None:
    """Four ways to one function: zeros, masked layers, the smaller network, its float graph."""
    subnet = SubnetConfig.parse(small_subnet.dump() | FORMS[form])
    rng = np.random.default_rng(seed)
    vit, masks = random_vit(subnet, preprocessing, seed), random_masks(subnet, rng)
    raw = rng.integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
    images = to_tensor(raw, preprocessing)
    small = compact(vit, masks)
    assert sum(p.numel() for p in small.parameters()) == small.subnet.num_params
    assert small.subnet.num_params <= subnet.num_params
    with torch.no_grad():
        expected = without(vit, masks)(images)
        scale = float(expected.max() - expected.min())
        assert torch.allclose(small(images), expected, atol=1e-5 * scale)
        Feedback(FeedbackPruning(name="feedback"), 1).install(vit)
        set_masks(vit, masks)
        assert torch.allclose(vit(images), expected, atol=1e-5 * scale)
    for group_set, kept in read_masks(vit).items():
        assert np.array_equal(kept, masks.get(group_set, np.ones(group_set.size, bool)))
    assert compact(vit, read_masks(vit)).subnet == small.subnet
    model = float_model(small.subnet, model_arrays(small), preprocessing, "test")
    assert np.abs(run_float(model, raw) - expected.numpy()).max() <= 1e-4 * scale


def test_blocks_keep_their_stochastic_depth(
    small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    vit = random_vit(small_subnet, preprocessing, 0)
    rates = [block.drop_prob for block in vit.blocks]
    small = compact(vit, {GroupSet("block", 0, None, 1): np.array([False])})
    assert [block.drop_prob for block in small.blocks] == rates[1:] == [pytest.approx(0.2)]


def test_factors_of_full_rank_are_multiplied_out(
    small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    change = {"rank_ratio": 1.0, "mlp_rank_ratio": 0.5, "full_rank_factors": True}
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    vit = random_vit(subnet, preprocessing, 1)
    images = torch.randn(3, 1, 8, 8)
    merged = merge(vit)
    assert [merged.subnet.rank(0, name) for name in ("qkv", "fc1")] == [None, 16]
    with torch.no_grad():
        assert torch.allclose(merged(images), vit(images), atol=1e-4)
