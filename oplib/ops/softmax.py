"""The exponential table of the integer softmax."""

from __future__ import annotations

import numpy as np

from oplib.operator import Array

TABLE_SIZE = 256
ONE = 32767
MAX_TOKENS = 511  # 511 * 32767 * 128 < 2^31


def exp_table(score_scale: float) -> Array:
    """Return ``round(32767 * exp(-d * score_scale))`` for d = max - score in [0, 255], uint16."""
    steps = np.arange(TABLE_SIZE, dtype=np.float64)
    table: Array = np.rint(ONE * np.exp(-steps * score_scale)).astype(np.uint16)
    return table


def softmax_weights(scores: Array, table: Array) -> Array:
    """Return the unnormalised int64 weights of int8 scores along the last axis."""
    wide = scores.astype(np.int64)
    weights: Array = table.astype(np.int64)[wide.max(axis=-1, keepdims=True) - wide]
    return weights
