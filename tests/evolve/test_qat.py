"""Quantisation-aware training rounds like the integer reference, tensor by tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from evolve.qat_network import TORCH_FORMS, RoundedNetwork
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.reference import run_integer
from oplib.network.vit import float_model, random_weights
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS
from oplib.quantize.calibrate import calibrate, choose_quant
from oplib.quantize.lower import lower_with
from supernet.data import to_tensor
from supernet.rounding import LearnedRounding, round_half_up, rounded_weight

RELU = [{"num_heads": 2, "head_dim": 16, "mlp_ratio": 2.0, "activation": "relu"}]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "relu": ({"blocks": RELU}, {}),
    "relative, class token": (
        {"relative_position": 2, "class_token": True, "global_pool": "token"},
        {"low_rank": "int16"},
    ),
    "convolutions, wide": (
        {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 6},
        {"residual": "int16"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_its_roundings_are_the_references(
    small_subnet: SubnetConfig, preprocessing: Preprocessing, case: str
) -> None:
    """From equal inputs, nearly all codes of every tensor are equal, and none differs by two."""
    change, forms = CASES[case][0], Forms(**CASES[case][1])
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    rng = np.random.default_rng(2)
    model = float_model(subnet, random_weights(subnet, rng), preprocessing, "random", forms)
    images = rng.integers(0, 17, (8, 8, 8, 1)).astype(np.uint8)
    quant = choose_quant(model.graph, calibrate(model, images).ranges)
    codes: dict[str, np.ndarray] = {}
    integer = lower_with(model, quant, {})
    run_integer(integer, images, lambda name, values: codes.update({name: values}))
    network = RoundedNetwork(model, quant)
    equal, total = 0, 0
    for node in model.graph.nodes[:-1]:
        inputs = [
            to_tensor(images, preprocessing).permute(0, 2, 3, 1)
            if name == model.graph.input
            else torch.from_numpy(quant[name].dequantize(codes[name])).float()
            for name in node.inputs
        ]
        with torch.no_grad():
            output = network.apply_node(node, inputs)
        found = np.rint(output.numpy() / quant[node.output].scale + quant[node.output].zero_point)
        off = np.abs(found - codes[node.output])
        wide = codes[node.output].dtype == np.int16
        assert off.max() <= (40 if wide else 1), node.name
        if not wide:
            equal, total = equal + int((off == 0).sum()), total + off.size
    assert equal / total > 0.985


def test_steps_learn_and_halves_go_up() -> None:
    halves = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    assert round_half_up(halves).tolist() == [-1.0, 0.0, 1.0, 2.0]
    rounding = LearnedRounding(0.5, 3, -128, 127)
    x = torch.tensor([0.6, 1000.0], requires_grad=True)
    y = rounding(x)
    assert y.tolist() == pytest.approx([0.5, 62.0])  # 127 - 3 = 124 codes above zero
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0]
    # d(0.5)/ds = round(x/s) - x/s, d(62)/ds = 124; times s for the logarithm
    expected = 0.5 * ((1 - 1.2) + 124)
    assert rounding.log_scale.grad is not None
    assert float(rounding.log_scale.grad) == pytest.approx(expected, rel=1e-5)
    assert rounded_weight(torch.tensor([[1.27, -0.633]])).tolist()[0] == pytest.approx(
        [1.27, -0.63]
    )


def test_every_operator_has_a_torch_form() -> None:
    leaves = [op for op in OPERATORS.values() if not isinstance(op, FusedOperator)]
    assert {operator.family for operator in leaves} == set(TORCH_FORMS)
