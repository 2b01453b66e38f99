"""A grown network computes what its parent does, and learns with what it has besides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mcuformer.errors import InternalError
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.grow import grow
from supernet.pruning.groups import group_sets, kept_subnet
from supernet.vit import Vit

PADDING = (0.0,)


def network(subnet: SubnetConfig, seed: int) -> Vit:
    """Return a network without any zeros."""
    torch.manual_seed(seed)
    vit = Vit(subnet, PADDING).eval()
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.3)
    return vit


def grown(vit: Vit, subnet: SubnetConfig) -> Vit:
    result = Vit(subnet, PADDING).eval()
    grow(result, vit.subnet, vit.state_dict())
    return result


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), ratio=st.sampled_from([0.25, 0.5, 1.0]))
def test_more_of_anything_changes_nothing(
    seed: int, ratio: float, digits_space: SearchSpace
) -> None:
    rng = np.random.default_rng(seed)
    parent = digits_space.sample(SpacePoint(rank_ratio=ratio, patch_size=4), rng)
    index = int(rng.integers(parent.depth))
    block = parent.blocks[index]
    wider = block.model_copy(
        update={"num_heads": block.num_heads + 1, "mlp_ratio": block.mlp_ratio + 1.0}
    )
    own = block.model_copy(update={"fc2_rank_ratio": min(1.0, 2 * ratio)})
    replaced, ranked = (
        (*parent.blocks[:index], changed, *parent.blocks[index + 1 :]) for changed in (wider, own)
    )
    deeper = (*parent.blocks[:index], *[block] * 2, *parent.blocks[index:])
    vit, images = network(parent, seed), torch.randn(2, 1, 8, 8)
    changes = ({"blocks": replaced}, {"blocks": deeper}, {"blocks": ranked})
    for change in (*changes, {"rank_ratio": min(1, 2 * ratio)}):
        child = grown(vit, parent.model_copy(update=change))
        torch.testing.assert_close(child(images), vit(images), rtol=1e-4, atol=1e-4)


def test_a_pruned_parent_lacks_anything(digits_space: SearchSpace) -> None:
    """A child of a whole network computes what is left of it, in a wider and a deeper form."""
    point = SpacePoint(rank_ratio=0.5, patch_size=4)
    block = digits_space.sample_block(np.random.default_rng(0)).model_copy(
        update={"num_heads": 4, "mlp_ratio": 3.0}
    )
    whole = digits_space.subnet(point, 32, (block,) * 3)
    masks = {s: np.ones(s.size, bool) for s in group_sets(whole)}
    for group_set, kept in masks.items():
        if group_set.kind == "block":
            kept[0] = group_set.block != 1  # the second block goes
        else:
            kept[: 1 + group_set.block] = False
    parent = network(kept_subnet(whole, masks), 0)
    assert parent.subnet.depth == 2
    deeper, images = whole.model_copy(update={"blocks": (block,) * 4}), torch.randn(2, 1, 8, 8)
    for child in (whole, deeper):
        torch.testing.assert_close(
            grown(parent, child)(images), parent(images), rtol=1e-4, atol=1e-4
        )


def test_new_parts_learn(digits_space: SearchSpace) -> None:
    """The weights that read new hidden units are 0, but their gradients are not."""
    point = SpacePoint(rank_ratio=1.0, patch_size=4)
    parent = digits_space.sample(point, np.random.default_rng(0))
    first = parent.blocks[0].model_copy(update={"mlp_ratio": parent.blocks[0].mlp_ratio + 1.0})
    blocks = (first, *parent.blocks[1:])
    child = grown(network(parent, 0), parent.model_copy(update={"blocks": blocks}))
    child(torch.randn(2, 1, 8, 8)).square().sum().backward()
    weight, known = child.blocks[0].mlp.fc2.weight, parent.hidden_dim(0)
    assert torch.equal(weight[:, known:], torch.zeros_like(weight[:, known:]))
    assert weight.grad[:, known:].abs().max() > 0


def test_a_smaller_network_is_refused(digits_space: SearchSpace) -> None:
    point = SpacePoint(rank_ratio=1.0, patch_size=4)
    parent = digits_space.sample(point, np.random.default_rng(0))
    narrow = parent.blocks[0].model_copy(update={"num_heads": 1})
    with pytest.raises(InternalError, match=r"blocks\.0\.attn"):
        grown(
            network(parent, 0),
            parent.model_copy(update={"blocks": (narrow, *parent.blocks[1:])}),
        )
