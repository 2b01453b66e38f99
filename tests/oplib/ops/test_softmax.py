"""Exponentials in integers: by table, by polynomial, by shifts."""

from __future__ import annotations

import numpy as np
import pytest

from oplib.ops.softmax import ONE, exp2_polynomial, exp_shift, exp_table


def test_table_against_known_values() -> None:
    """A step of log(2) / 16 halves the entry every 16 steps."""
    table = exp_table(np.log(2) / 16)
    assert list(table[[0, 16, 32]]) == [32767, 16384, 8192]
    assert table.dtype == np.uint16


def test_exponentials() -> None:
    """I-BERT's polynomial errs by 2.1e-3 at most; I-ViT's shifts are linear between powers of 2."""
    x = np.arange(0, 16 * 2**16, 37)
    polynomial = exp2_polynomial((x * np.log2(np.e)).astype(np.int64)) / ONE
    assert np.abs(polynomial - np.exp(-x / 2**16)).max() <= 2.1e-3 + 2 / ONE
    whole = (np.arange(8) * 2**16 / 1.4375).round().astype(np.int64)
    assert exp_shift(whole) == pytest.approx(ONE / 2.0 ** np.arange(8), abs=3)
    half = np.array([round(2**15 / 1.4375)])
    assert exp_shift(half)[0] == pytest.approx(ONE * 0.75, abs=3)
    assert exp_shift(np.array([2**21]))[0] == 0
