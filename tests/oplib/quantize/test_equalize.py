"""Balancing channels changes no float number, and helps the integers."""

from __future__ import annotations

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.network.reference import run_float
from oplib.quantize.calibrate import QuantSettings
from oplib.quantize.equalize import equalize
from oplib.quantize.layer_quality import layer_report
from oplib.quantize.lower import quantize


def test_equalisation_keeps_the_float_network(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    network = random_network(small_subnet, preprocessing)
    norm = network.floating.params["blocks.0.norm1"]
    for name in ("weight", "bias"):
        norm[name][3] *= 40.0  # an outlier channel, as vision transformers have them
    equal = equalize(network.floating, network.images)
    before, after = (run_float(m, network.images) for m in (network.floating, equal))
    assert np.allclose(after, before, atol=1e-4 * np.ptp(before))
    results = []
    for settings in (QuantSettings(), QuantSettings(equalize=True)):
        integer = quantize(network.floating, network.images, settings)
        labels = np.zeros(len(network.images), np.int64)
        model = equal if settings.equalize else network.floating
        rows = {r.tensor: r for r in layer_report(model, integer, network.images, labels)}
        results.append(rows["blocks.0.attn.q"].snr_db)
    assert results[1] > results[0] + 1
