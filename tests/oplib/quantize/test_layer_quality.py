"""The report of every layer names the one that quantisation serves badly."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.ops.quant import QuantParams
from oplib.quantize.layer_quality import decibels, layer_report, warnings
from oplib.quantize.lower import lower_with


@pytest.mark.parametrize("change", [{}, {"relative_position": 2, "class_token": True}])
def test_bad_layers_are_named(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing, change: dict
) -> None:
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    network = random_network(subnet, preprocessing)
    labels = np.zeros(len(network.images), np.int64)
    rows = layer_report(network.floating, network.integer, network.images, labels)
    assert not warnings(rows)
    assert all(row.alone_snr_db > 15 for row in rows)
    name = "blocks.1.mlp.fc1"
    quant = dict(network.integer.quant)
    quant[name] = QuantParams(quant[name].scale / 50, 0)  # saturates nearly everything
    broken = lower_with(network.floating, quant, {})
    lines = warnings(layer_report(network.floating, broken, network.images, labels))
    assert any(line.startswith(f"warning: {name} keeps") for line in lines)
    assert decibels(np.ones(4), np.full(4, 0.9)) == pytest.approx(20.0)
