"""Observers on distributions whose answer is known, and what changes no float number."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError, LoweringError
from mcuformer.subnet import SubnetConfig
from oplib.network.reference import run_float
from oplib.ops.linear import corrected_bias
from oplib.ops.quant import QuantParams, quantize_weight
from oplib.quantize.calibrate import BINS, QuantSettings, Range, calibrate, clip_range
from oplib.quantize.equalize import equalize
from oplib.quantize.layer_quality import decibels, layer_report, warnings
from oplib.quantize.lower import quantize


def histogram(values: np.ndarray) -> tuple[Range, np.ndarray]:
    seen = Range(float(values.min()), float(values.max()))
    return seen, np.histogram(values, BINS, (seen.low, seen.high))[0].astype(float)


def test_percentile_of_a_uniform_range() -> None:
    seen, counts = histogram(np.linspace(-1.0, 3.0, 100_000))
    kept = clip_range(seen, counts, QuantSettings(observer="percentile", percentile=90.0))
    assert (kept.low, kept.high) == pytest.approx((-0.8, 2.8), abs=0.01)


@pytest.mark.parametrize("observer", ["mse", "entropy", "percentile"])
def test_an_outlier_is_clipped_and_a_uniform_range_is_not(observer: str) -> None:
    rng = np.random.default_rng(0)
    settings = QuantSettings(observer=observer, percentile=99.9)
    values = np.append(rng.normal(size=200_000), [40.0])
    kept = clip_range(*histogram(values), settings)
    assert kept.high < (35.0 if observer == "mse" else 20.0)
    if observer == "mse":
        step, whole = (kept.high - kept.low) / 255, (40.0 - values.min()) / 255
        clipped = np.clip(values, kept.low, kept.high)
        own = ((values - clipped) ** 2).mean() + step**2 / 12
        assert own < 0.8 * whole**2 / 12
        uniform = clip_range(*histogram(np.linspace(-2.0, 2.0, 10_000)), settings)
        assert uniform.high == pytest.approx(2.0, rel=0.02)


def test_bias_correction_takes_up_the_mean_error() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 30)), rng.normal(size=4)
    x = rng.normal(2.0, 0.1, (1000, 30))
    source = QuantParams(0.01)
    codes, scale = quantize_weight(weight, 1e-12)
    rounded = x @ (codes * scale[:, None]).T
    exact = x @ weight.T + bias
    corrected = corrected_bias(weight, bias, source, x.mean(axis=0))
    assert np.abs((rounded + corrected - exact).mean(axis=0)).max() < 1e-9
    assert np.abs((rounded + bias - exact).mean(axis=0)).max() > 1e-3


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
    from oplib.quantize.lower import lower_with

    broken = lower_with(network.floating, quant, {})
    lines = warnings(layer_report(network.floating, broken, network.images, labels))
    assert any(line.startswith(f"warning: {name} keeps") for line in lines)
    assert decibels(np.ones(4), np.full(4, 0.9)) == pytest.approx(20.0)


def test_bad_calibration_is_refused(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    network = random_network(small_subnet, preprocessing)
    with pytest.raises(DataError, match="the calibration set is empty"):
        calibrate(network.floating, network.images[:0])
    with pytest.raises(DataError, match=r"all alike .got 3 times"):
        calibrate(network.floating, np.repeat(network.images[:1], 3, axis=0))
    network.floating.params["blocks.1.mlp.fc2"]["weight"][0, 0] = np.nan
    with pytest.raises(LoweringError, match=r"blocks\.1\.mlp\.fc2: NaN or infinity"):
        calibrate(network.floating, network.images)
