"""The supernet, its extracted subnets, timm's own network and the float graph agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer

from mcuformer.data import Preprocessing
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.interpret import run_float
from oplib.schedule import float_model
from supernet.checkpoint import model_arrays
from supernet.data import pad_value, to_tensor
from supernet.extract import extract
from supernet.model import Supernet
from supernet.vit import Vit


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_extracted_subnet_and_float_graph(
    digits_space: SearchSpace, preprocessing: Preprocessing, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    points = digits_space.points()
    point = points[int(rng.integers(len(points)))]
    supernet = Supernet(digits_space, point, pad_value(preprocessing)).eval()
    subnet = digits_space.sample(point, rng)
    vit = extract(supernet, subnet).eval()
    assert sum(p.numel() for p in vit.parameters()) == subnet.num_params
    raw = rng.integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
    images = to_tensor(raw, preprocessing)
    with torch.no_grad():
        logits = vit(images)
        assert torch.equal(supernet(images, subnet), logits)
    model = float_model(subnet, model_arrays(vit), preprocessing, "test")
    error = np.abs(run_float(model, raw) - logits.numpy()).max()
    assert error <= 1e-4 * float(logits.max() - logits.min())


@pytest.mark.parametrize("fc_norm", [True, False])
def test_timm_weights_give_timm_logits(fc_norm: bool) -> None:
    torch.manual_seed(0)
    timm_vit = VisionTransformer(
        img_size=16,
        patch_size=4,
        num_classes=5,
        embed_dim=24,
        depth=2,
        num_heads=3,
        mlp_ratio=3,
        class_token=False,
        global_pool="avg",
        fc_norm=fc_norm,
    ).eval()
    subnet = SubnetConfig(
        img_size=16,
        patch_size=4,
        in_chans=3,
        num_classes=5,
        embed_dim=24,
        blocks=(BlockConfig(num_heads=3, head_dim=8, mlp_ratio=3.0),) * 2,
        fc_norm=fc_norm,
    )
    vit = Vit(subnet, (0.0, 0.0, 0.0)).eval()
    vit.load_state_dict(timm_vit.state_dict())
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        expected = timm_vit(images)
        assert torch.allclose(vit(images), expected, atol=1e-5)
    pre = Preprocessing(img_size=16, channel_order="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    raw = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    model = float_model(subnet, model_arrays(vit), pre, "test")
    with torch.no_grad():
        logits = timm_vit(to_tensor(raw, pre)).numpy()
    assert np.allclose(run_float(model, raw), logits, atol=1e-4)


def test_slices_are_leading_blocks(digits_space: SearchSpace, preprocessing: Preprocessing) -> None:
    """Query, key and value keep their meaning at every width: each is sliced from its own start."""
    point = digits_space.point_at((3, 0))
    supernet = Supernet(digits_space, point, pad_value(preprocessing))
    subnet = digits_space.subnet(point, 48, ((2, 2.0), (3, 3.0)))
    vit = extract(supernet, subnet)
    stored = supernet.blocks[0].attn.qkv.weight
    fused = vit.blocks[0].attn.qkv.weight
    for part in range(3):
        assert torch.equal(fused[part * 32 : (part + 1) * 32], stored[part, :32, :48])
