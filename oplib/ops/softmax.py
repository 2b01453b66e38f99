"""The integer softmax: a 15-bit exponential in three forms, normalised or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcuformer.errors import LoweringError
from oplib.forms import SOFTMAX_FORMS, SoftmaxForm
from oplib.graph import Attributes
from oplib.ops.base import Array, ArrayRef, ArraySpec, Field, Scalar

TABLE_SIZE = 256
ONE = 32767
ACCUMULATED = 512  # tokens whose weights, of 15 bits, times values fit: 512 * 32767 * 128 < 2^31
MAX_TOKENS = 1024  # class token included; with one bit less, 1024 * 16383 * 128 < 2^31
NORMALIZED_SUM = 127  # what the weights of a row add up to, but for rounding


def dropped_bits(tokens: int) -> int:
    """Return by how many bits the weights of a row are narrower than 15."""
    return int(tokens > ACCUMULATED)


def exp_table(score_scale: float, one: int = ONE) -> Array:
    """Return ``round(one * exp(-d * score_scale))`` for d = max - score in [0, 255], uint16."""
    steps = np.arange(TABLE_SIZE, dtype=np.float64)
    table: Array = np.rint(one * np.exp(-steps * score_scale)).astype(np.uint16)
    return table


def exp2_polynomial(w: Array) -> Array:
    """Return 2^-w with 15 fraction bits by I-BERT's polynomial (Kim et al., 2021, section 3.4).

    Args:
        w: exponents with 16 fraction bits, in [0, 2^30), any shape.
    """
    # 2^-w = 2^-f >> whole, with the fraction f in [0, 1). I-BERT's exp(p) = 0.3585 (p + 1.353)^2 +
    # 0.344 at p = -f ln 2 is 1 - 0.672 f + 0.172 f^2. The coefficients have 16 fraction bits and
    # take 32767 at f = 0 to 16382 at f = 1, one below its half: 2^-w has no step where f wraps.
    # Shifted by 17, not 16, products have the 15 fraction bits of the result.
    whole, f = w >> 16, w & 0xFFFF
    square = (f * f) >> 16
    value = ONE - ((44047 * f) >> 17) + ((11277 * square) >> 17)
    return np.where(whole > 15, 0, value >> np.minimum(whole, 15))


def exp_shift(w: Array) -> Array:
    """Return e^-w with 15 fraction bits by I-ViT's shifts (Li and Gu, 2023, section 3.3).

    Args:
        w: exponents with 16 fraction bits, in [0, 2^30), any shape.
    """
    # e^-w = 2^-(w log2 e), with log2 e = 1.4427 as 1 + 1/2 - 1/16, and 2^-f = 1 - f / 2 for the
    # fraction, exact at both ends; f / 2 with 15 fraction bits is f >> 2.
    binary = w + (w >> 1) - (w >> 4)
    whole, f = binary >> 16, binary & 0xFFFF
    return np.where(whole > 15, 0, (ONE - (f >> 2)) >> np.minimum(whole, 15))


@dataclass(frozen=True)
class SoftmaxAttributes(Attributes):
    """Attributes of a softmax.

    Args:
        softmax: form of the exponential.
        normalized: whether weights are divided by their sum, to int8, before they are applied.
    """

    softmax: SoftmaxForm = "table"
    normalized: bool = False


def softmax_specs(attrs: SoftmaxAttributes) -> tuple[ArraySpec, ...]:
    """Return the table of exponentials, if the form has one."""
    if attrs.softmax != "table":
        return ()
    return (ArraySpec("exp_table", "uint16", (TABLE_SIZE,)),)


def lower_softmax(
    attrs: SoftmaxAttributes, score_scale: float, tokens: int, where: str
) -> tuple[dict[str, Array], int]:
    """Return the arrays of a softmax, and the exponent of one score step with 16 fraction bits.

    Args:
        attrs: attributes of the node.
        score_scale: scale of the int8 scores.
        tokens: scores in a row.
        where: name of the layer, for messages.

    Raises:
        LoweringError: the scores are too coarse for the exponent.
    """
    if attrs.softmax == "table":
        return {"exp_table": exp_table(score_scale, ONE >> dropped_bits(tokens))}, 0
    base = np.log2(np.e) if attrs.softmax == "polynomial" else 1.0
    exponent = round(score_scale * 2**16 * base)
    if exponent >= 2**22:  # scores differ by at most 255: exponents stay below 2^30
        raise LoweringError("attention scores too coarse", where=where, got=score_scale)
    return {}, exponent


def softmax_fields(attrs: SoftmaxAttributes, exponent: int, tokens: int) -> tuple[Field, ...]:
    """Return the members of ``oplib_softmax_s8_params`` for rows of `tokens` scores."""
    return (
        Scalar("form", "int32_t", SOFTMAX_FORMS.index(attrs.softmax)),
        Scalar("normalized", "int32_t", int(attrs.normalized)),
        Scalar("exponent", "uint32_t", exponent),
        Scalar("dropped_bits", "int32_t", dropped_bits(tokens)),
        ArrayRef("exp_table", "exp_table" if attrs.softmax == "table" else None),
    )


def softmax_weights(
    attrs: SoftmaxAttributes, scores: Array, arrays: Mapping[str, Array], exponent: int
) -> tuple[Array, Array]:
    """Return the int64 weights of int8 scores along the last axis, and their sum.

    Args:
        attrs: attributes of the node.
        scores: int8 scores (..., N).
        arrays: arrays from :func:`lower_softmax`.
        exponent: exponent from :func:`lower_softmax`.

    Returns:
        Weights (..., N) and sums (..., 1); a normalised sum is the nominal 127.
    """
    wide = scores.astype(np.int64)
    distance = wide.max(axis=-1, keepdims=True) - wide
    narrower = dropped_bits(scores.shape[-1])
    weights: Array
    match attrs.softmax:
        case "table":
            weights = arrays["exp_table"].astype(np.int64)[distance]
        case "polynomial":
            weights = exp2_polynomial(distance * exponent) >> narrower
        case "shift":
            weights = exp_shift(distance * exponent) >> narrower
    total: Array = weights.sum(axis=-1, keepdims=True)
    if not attrs.normalized:
        return weights, total
    weights = (weights * NORMALIZED_SUM + total // 2) // total
    return weights, np.full_like(total, NORMALIZED_SUM)
