"""The integer softmax: an exponential of 15 bits in three forms, normalised or not."""

from __future__ import annotations

import numpy as np

from mcuformer.errors import LoweringError
from oplib.forms import SOFTMAX_FORMS
from oplib.graph import Node
from oplib.ops.base import Array, ArraySpec, Field

TABLE_SIZE = 256
ONE = 32767
MAX_TOKENS = 511  # 511 * 32767 * 128 < 2^31
NORMALIZED_SUM = 127
TABLE = 0


def exp_table(score_scale: float) -> Array:
    """Return ``round(32767 * exp(-d * score_scale))`` for d = max - score in [0, 255], uint16."""
    steps = np.arange(TABLE_SIZE, dtype=np.float64)
    table: Array = np.rint(ONE * np.exp(-steps * score_scale)).astype(np.uint16)
    return table


def exp2_polynomial(w: Array) -> Array:
    """Return 2^-w with 15 fraction bits, w with 16, by I-BERT's polynomial (exp2.h)."""
    whole, f = w >> 16, w & 0xFFFF
    square = (f * f) >> 16
    value = ONE - ((44047 * f) >> 17) + ((11277 * square) >> 17)
    return np.where(whole > 15, 0, value >> np.minimum(whole, 15))


def exp_shift(w: Array) -> Array:
    """Return e^-w with 15 fraction bits, w with 16, by I-ViT's shifts (exp2.h)."""
    binary = w + (w >> 1) - (w >> 4)
    whole, f = binary >> 16, binary & 0xFFFF
    return np.where(whole > 15, 0, (ONE - (f >> 2)) >> np.minimum(whole, 15))


def softmax_specs(node: Node) -> tuple[ArraySpec, ...]:
    """Return the table, where the form has one."""
    if node.attrs.get("softmax", TABLE) != TABLE:
        return ()
    return (ArraySpec("exp_table", "uint16", (TABLE_SIZE,)),)


def lower_softmax(node: Node, score_scale: float) -> tuple[dict[str, Array], int]:
    """Return the arrays of a softmax and its exponent.

    Raises:
        LoweringError: scores too coarse for the exponent.
    """
    form = SOFTMAX_FORMS[int(node.attrs.get("softmax", TABLE))]
    if form == "table":
        return {"exp_table": exp_table(score_scale)}, 0
    exponent = round(score_scale * 2**16 * (np.log2(np.e) if form == "polynomial" else 1.0))
    if exponent >= 2**22:
        raise LoweringError("attention scores too coarse", where=node.name, got=score_scale)
    return {}, exponent


def softmax_fields(node: Node, exponent: int) -> tuple[Field, ...]:
    """Return the members of ``oplib_softmax_s8_params``."""
    form = int(node.attrs.get("softmax", TABLE))
    return (
        Field("form", "int32_t", form),
        Field("normalized", "int32_t", int(node.attrs.get("normalized", 0))),
        Field("exponent", "uint32_t", exponent),
        Field("exp_table", "array", "exp_table" if form == TABLE else None),
    )


def softmax_weights(
    node: Node, scores: Array, table: Array | None, exponent: int
) -> tuple[Array, Array]:
    """Return the int64 weights of int8 scores along the last axis, and their sum."""
    wide = scores.astype(np.int64)
    distance = wide.max(axis=-1, keepdims=True) - wide
    form = SOFTMAX_FORMS[int(node.attrs.get("softmax", TABLE))]
    if form == "table":
        assert table is not None
        weights: Array = table.astype(np.int64)[distance]
    else:
        weights = {"polynomial": exp2_polynomial, "shift": exp_shift}[form](distance * exponent)
    total: Array = weights.sum(axis=-1, keepdims=True)
    if not node.attrs.get("normalized", 0):
        return weights, total
    weights = (weights * NORMALIZED_SUM + total // 2) // total
    return weights, np.full_like(total, NORMALIZED_SUM)
