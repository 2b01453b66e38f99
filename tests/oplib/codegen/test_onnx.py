"""ONNX files against the numpy references, through onnxruntime."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import Activation, SubnetConfig
from oplib.codegen.onnx import export_onnx
from oplib.forms import Forms
from oplib.network.reference import run_float, run_integer

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'mcuformer[onnx]'")

BLOCKS = [
    {"num_heads": 2, "head_dim": 16, "mlp_ratio": 2.0, "activation": activation}
    for activation in get_args(Activation)
]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "activations": ({"blocks": BLOCKS}, {}),
    "norm last, wide residual": ({"fc_norm": True}, {"residual": "int16"}),
    "relative, class token": (
        {"relative_position": 2, "class_token": True, "global_pool": "token"},
        {},
    ),
    "convolutions": (
        {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 6, "class_token": True},
        {},
    ),
}


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # Without VNNI the default kernels saturate sums of two uint8 x int8 products at 16 bits, and
    # the mean error of these networks grows 7- to 13-fold; no effect on other processors.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


@pytest.mark.parametrize("case", CASES)
def test_onnx_follows_the_references(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing, case: str
) -> None:
    """Float to 1e-4 of the logits' range; QDQ to 5 % of it, and closer than float is on average."""
    change, forms = CASES[case]
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    network = random_network(subnet, preprocessing, 4, Forms(**forms))
    floating = run_float(network.floating, network.images)
    extent = float(np.ptp(floating))
    found = run(export_onnx(network.floating, None), network.images)
    assert np.abs(found - floating).max() <= 1e-4 * extent
    unit = network.integer.quant[network.integer.graph.output].scale
    integer = run_integer(network.integer, network.images) * unit
    assert np.abs(integer - floating).max() <= 0.2 * extent  # the unit is right
    found = run(export_onnx(network.floating, network.integer), network.images)
    assert np.abs(found - integer).max() <= 0.05 * extent
    assert np.abs(found - integer).mean() < np.abs(floating - integer).mean()


def test_the_qdq_file_says_which_session_option_it_needs(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    """Only where there are int8 kernels to saturate; the float file needs none."""
    onnx = pytest.importorskip("onnx")
    network = random_network(small_subnet, preprocessing, 4, Forms())
    plain = onnx.load_from_string(export_onnx(network.floating, None))
    rounded = onnx.load_from_string(export_onnx(network.floating, network.integer))
    assert plain.doc_string == ""
    assert "session.x64quantprecision" in rounded.doc_string
