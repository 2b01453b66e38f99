"""Lowering: the integers follow the float network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.network.reference import run_float, run_integer
from oplib.quantize.lower import lower_with


def correlation(network) -> float:
    floating = run_float(network.floating, network.images)
    integer = run_integer(network.integer, network.images)
    return float(np.corrcoef(floating.ravel(), integer.ravel())[0, 1])


def test_integers_follow_the_float_network(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    assert correlation(random_network(small_subnet, preprocessing)) > 0.999


@settings(max_examples=20, deadline=None)
@given(
    value_max=st.sampled_from([1, 2, 3, 15, 100, 254]),
    tokenizer=st.sampled_from(["patch", "conv1", "conv2"]),
    seed=st.integers(0, 1000),
)
def test_images_of_few_levels(random_network, value_max: int, tokenizer: str, seed: int) -> None:
    """A pixel may be a whole step of the input, and the sum of nine of them span few steps."""
    subnet = {
        "img_size": 8,
        "patch_size": 4 if tokenizer != "patch" else 1 + seed % 2,
        "tokenizer": tokenizer,
        "stem_dim": 6 if tokenizer == "conv2" else None,
        "in_chans": 1,
        "num_classes": 10,
        "embed_dim": 20,
        "blocks": ({"num_heads": 2, "head_dim": 8, "mlp_ratio": 2.0},),
    }
    pre = Preprocessing(img_size=8, channel_order="L", mean=(0.4,), std=(0.3,), value_max=value_max)
    assert correlation(random_network(SubnetConfig.parse(subnet), pre, seed)) > 0.99


@pytest.mark.parametrize("tensor", ["patch_embed", "blocks.0.mlp.fc1", "blocks.0.attn.k"])
def test_a_scale_without_a_multiplier_is_made_coarser(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing, tensor: str
) -> None:
    """The coarser scale has the largest multiplier of all, 2^31 - 1, and the same zero point."""
    network = random_network(small_subnet, preprocessing)
    given_scale = network.integer.quant[tensor]
    fine = replace(given_scale, scale=given_scale.scale * 1e-3)
    quant = {**network.integer.quant, tensor: fine}
    lowered = lower_with(network.floating, quant, {})
    assert lowered.lowered[tensor].arrays["multiplier"].max() == 2**31 - 1
    assert lowered.quant[tensor].scale > fine.scale
    assert lowered.quant[tensor].zero_point == given_scale.zero_point
    others = {name: q for name, q in lowered.quant.items() if name != tensor}
    assert others == {name: q for name, q in network.integer.quant.items() if name != tensor}
