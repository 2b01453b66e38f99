"""Observers on distributions whose answer is known, and what changes no float number."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError, LoweringError
from mcuformer.subnet import SubnetConfig
from oplib.quantize.calibrate import BINS, QuantSettings, Range, calibrate, clip_range


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
