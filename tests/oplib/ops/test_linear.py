"""Effects of a linear layer's parts on its numbers; test_kernels.py tests the kernels."""

from __future__ import annotations

import numpy as np

from oplib.ops.linear import corrected_bias
from oplib.ops.quant import QuantParams, quantize_weight


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
