"""The supernet, its extracted subnets, timm's own network and the float graph agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.space import SearchSpace
from mcuformer.subnet import build_block
from oplib.network.reference import run_float
from oplib.network.timm_vit import TimmVit
from oplib.network.vit import float_model
from oplib.target.target import Target
from supernet.checkpoint import model_arrays
from supernet.data import pad_value, to_tensor
from supernet.extract import extract
from supernet.model import Supernet, drop_rates
from supernet.relative_position import TABLES, RelativePosition
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


FORMS = {
    "relative": {"relative_position": 2, "class_token": True, "norm_eps": 1e-5},
    "class token head": {"class_token": True, "global_pool": "token"},
    "no absolute": {"relative_position": 5, "absolute_position": False},
    "tokenizers": {"tokenizer": ["conv1", "conv2", "patch"], "stem_dim": 12, "patch_size": [4]},
    "free qkv": {"qkv_dim": [24, 48], "relative_position": 3, "low_rank": ["proj", "fc2"]},
    "two ratios": {"mlp_rank_ratio": [0.25, 1.0]},
    "activations": {"activation": ["relu", "gelu"]},
    "a rank per layer": {"rank_per_layer": True, "low_rank": ["qkv", "proj", "fc2"]},
    "two ratios per layer": {"rank_per_layer": True, "mlp_rank_ratio": [0.25, 0.5]},
}


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_extracts_bit_equal(
    digits_space: SearchSpace, preprocessing: Preprocessing, form: str, joint: bool
) -> None:
    space = SearchSpace.parse(digits_space.dump() | FORMS[form])
    rng = np.random.default_rng(len(form))
    for trial in range(4):
        torch.manual_seed(trial)
        points = space.points()
        point = points[int(rng.integers(len(points)))]
        supernet = Supernet(space, None if joint else point, pad_value(preprocessing))
        for name, values in supernet.named_parameters():
            if name.endswith("bias"):  # at zero they would hide that one is applied or left out
                torch.nn.init.normal_(values, std=0.3)
        raw = rng.integers(0, 17, (5, 8, 8, 1)).astype(np.uint8)
        images = to_tensor(raw, preprocessing)
        subnet = space.sample(point, rng)
        assert space.contains(subnet)
        supernet.train()(images, subnet)  # moves the batch statistics of a tokenizer
        vit = extract(supernet, subnet).eval()
        assert sum(p.numel() for p in vit.parameters()) == vit.subnet.num_params
        assert vit.subnet.merged == subnet
        with torch.no_grad():
            logits = vit(images)
            assert torch.equal(supernet.eval()(images, subnet), logits)
        model = float_model(vit.subnet, model_arrays(vit), preprocessing, "test")
        error = np.abs(run_float(model, raw) - logits.numpy()).max()
        assert error <= 1e-4 * float(logits.max() - logits.min())


def test_relative_position_is_autoformers(rng: np.random.Generator) -> None:
    """Scores and values against the definition: one vector for each pair of tokens."""
    torch.manual_seed(0)
    grid, distance, dim = 4, 2, 6
    relative = RelativePosition(distance, dim)
    tables = {name: getattr(relative, name).detach() for name in TABLES}

    def vector(kind: str, i: int, j: int) -> torch.Tensor:
        if i == 0 or j == 0:  # the class token
            return tables[f"{kind}_rows"][0] + tables[f"{kind}_columns"][0]
        rows, cols = (j - 1) // grid - (i - 1) // grid, (j - 1) % grid - (i - 1) % grid
        rows, cols = (int(np.clip(d, -distance, distance)) + distance + 1 for d in (rows, cols))
        return tables[f"{kind}_rows"][rows] + tables[f"{kind}_columns"][cols]

    tokens = grid**2 + 1
    q, weights = torch.randn(2, 3, tokens, dim), torch.rand(2, 3, tokens, tokens)
    pairs = [(i, j) for i in range(tokens) for j in range(tokens)]
    keys, values = (
        torch.stack([vector(kind, i, j) for i, j in pairs]).view(tokens, tokens, dim)
        for kind in ("key", "value")
    )
    with torch.no_grad():
        scores = torch.einsum("bhid,ijd->bhij", q, keys)
        assert torch.allclose(relative.scores(q, grid), scores, atol=1e-5)
        sums = torch.einsum("bhij,ijd->bhid", weights, values)
        assert torch.allclose(relative.values(weights, grid, dim), sums, atol=1e-4)


def test_full_rank_factors_are_merged_by_the_lowering(
    digits_space: SearchSpace, preprocessing: Preprocessing, stm32f746: Device
) -> None:
    torch.manual_seed(0)
    supernet = Supernet(digits_space, None, pad_value(preprocessing)).eval()
    point = digits_space.point_at((3, 1))  # ratio 1
    subnet = digits_space.sample(point, np.random.default_rng(0)).factored
    vit = extract(supernet, subnet).eval()
    target = Target(stm32f746)
    assert target.cost(subnet) == target.cost(subnet.merged)
    assert subnet.num_params > subnet.merged.num_params
    raw = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
    model = float_model(vit.subnet, model_arrays(vit), preprocessing, "test")
    assert not any(node.name.endswith(".v") for node in model.graph.nodes if "fc1" in node.name)
    with torch.no_grad():
        logits = vit(to_tensor(raw, preprocessing)).numpy()
    assert np.abs(run_float(model, raw) - logits).max() <= 1e-4 * np.ptp(logits)


def test_stochastic_depth_scales_with_depth() -> None:
    assert drop_rates(0.2, 5, 5) == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert drop_rates(0.2, 3, 6) == pytest.approx([0.0, 0.05, 0.1])
    assert drop_rates(0.2, 1, 2) == [0.0]


@pytest.mark.parametrize("global_pool", ["avg", "token"])
@pytest.mark.parametrize(("fc_norm", "act_layer"), [(True, "hard_swish"), (False, "gelu")])
def test_timm_weights_give_timm_logits(fc_norm: bool, act_layer: str, global_pool: str) -> None:
    class_token = global_pool == "token"
    torch.manual_seed(0)
    timm_vit = VisionTransformer(
        img_size=16,
        patch_size=4,
        num_classes=5,
        embed_dim=24,
        depth=2,
        num_heads=3,
        mlp_ratio=3,
        class_token=class_token,
        global_pool=global_pool,
        fc_norm=fc_norm,
        act_layer=act_layer,
    ).eval()
    subnet = TimmVit(
        img_size=16,
        patch_size=4,
        num_classes=5,
        embed_dim=24,
        depth=2,
        num_heads=3,
        mlp_ratio=3.0,
        class_token=class_token,
        global_pool=global_pool,
        fc_norm=fc_norm,
        act_layer=act_layer,
    ).subnet()
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
    subnet = digits_space.subnet(point, 48, (build_block(2, 16, 2.0), build_block(3, 16, 3.0)))
    vit = extract(supernet, subnet)
    stored = supernet.blocks[0].attn.qkv.weight
    fused = vit.blocks[0].attn.qkv.weight
    for part in range(3):
        assert torch.equal(fused[part * 32 : (part + 1) * 32], stored[part, :32, :48])
