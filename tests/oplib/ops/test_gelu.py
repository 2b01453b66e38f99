"""The integer forms of GELU against the exact one."""

from __future__ import annotations

import numpy as np
import pytest

from oplib.ops.gelu import Gelu, GeluPolynomial, GeluSigmoid


def test_known_values() -> None:
    """The normal distribution function at 1 is 0.8413447460685429."""
    found = Gelu().real(np.array([1.0, 0.0, -1.0]))
    assert found == pytest.approx([0.84134474607, 0.0, -0.15865525393])


@pytest.mark.parametrize(
    ("form", "largest", "mean"),
    [(GeluSigmoid(), 0.0203, 0.0099), (GeluPolynomial(), 0.0182, 0.0065)],
)
def test_gelu_forms(form: GeluSigmoid | GeluPolynomial, largest: float, mean: float) -> None:
    """On |x| <= 4: 0.0203 and 0.0099 of x sigmoid(1.702 x), 0.0182 and 0.0065 of the polynomial."""
    t = np.arange(-4000, 4001)
    factor = round(1e-3 * form.input_factor * 2**16 * 2**8)  # a finer scale than a code's
    got = t * 1e-3 * form.factor((np.abs(t) * factor) >> 8, t < 0) / 2**form.bits
    error = np.abs(got - Gelu().real(t * 1e-3))
    assert error.max() == pytest.approx(largest, abs=2e-4)
    assert error.mean() == pytest.approx(mean, abs=2e-4)
