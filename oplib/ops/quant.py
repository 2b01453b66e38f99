"""The arithmetic of quantisation: scales, multipliers and the one way of rounding (SPEC.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mcuformer.errors import LoweringError

Array = npt.NDArray[Any]
INT8_MIN, INT8_MAX = -128, 127
CODES = {"int8": (INT8_MIN, INT8_MAX), "int16": (-(2**15), 2**15 - 1)}  # least, greatest


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point of a tensor: ``real = scale * (q - zero_point)``."""

    scale: float
    zero_point: int = 0

    def quantize(self, values: Array) -> Array:
        """Round real values to int8."""
        codes = np.rint(np.asarray(values, dtype=np.float64) / self.scale) + self.zero_point
        return saturate(codes)

    def dequantize(self, codes: Array) -> Array:
        """Return the real values of codes, in float64."""
        return (codes.astype(np.float64) - self.zero_point) * self.scale


def symmetric(limit: float) -> QuantParams:
    """Return the parameters that map [-limit, limit] to [-127, 127]."""
    return QuantParams(max(limit, 1e-8) / INT8_MAX)


def affine(low: float, high: float) -> QuantParams:
    """Return the parameters that map [low, high], widened to hold 0, to [-128, 127].

    A range within a tenth of symmetric is treated as symmetric, with zero point 0.
    """
    # A zero point makes steps finer by the share of [-limit, limit] that the range leaves unused.
    # Above 1.8 of its 2 * limit that is less than 10 %, or 0.9 dB.
    low, high = min(low, 0.0), max(high, 0.0)
    limit = max(-low, high)
    if high - low > 1.8 * limit or limit == 0.0:
        return symmetric(limit)
    scale = max(high - low, 1e-8) / 255
    zero_point = round(INT8_MIN - low / scale)
    return QuantParams(scale, int(np.clip(zero_point, INT8_MIN, INT8_MAX)))


def weight_scales(weight: Array, smallest_scale: Array | float) -> Array:
    """Return the float64 scale of each output channel's weights, (out,).

    Args:
        weight: float weights (out, in).
        smallest_scale: positive lower limit of the scales, (out,) or one for all; a channel of
            zeros gets it.
    """
    limit = np.abs(weight.astype(np.float64)).max(axis=1)
    scales: Array = np.maximum(limit / INT8_MAX, smallest_scale)
    return scales


def quantize_weight(weight: Array, smallest_scale: Array | float) -> tuple[Array, Array]:
    """Quantise weights symmetrically, with one scale per output channel.

    Args:
        weight: float weights (out, in).
        smallest_scale: as for :func:`weight_scales`.

    Returns:
        int8 weights in [-127, 127] and float64 scales (out,).
    """
    scale = weight_scales(weight, smallest_scale)
    codes = np.rint(weight / scale[:, None])
    return np.clip(codes, -INT8_MAX, INT8_MAX).astype(np.int8), scale


def multiplier(scale: Array | float, where: str, shift: int = 0) -> Array:
    """Return ``round(scale * 2^(32 - shift))`` as int32, for operands shifted left by `shift`.

    Args:
        scale: scale ratio, one or one per channel.
        where: name of the layer, for messages.
        shift: bits by which the kernel shifts the operand, or shifts the product less.

    Raises:
        LoweringError: a multiplier does not fit 31 bits, or a scale is not finite.
    """
    # Every multiplier has the same fraction bits, so a requantisation is one high product, without
    # a shift per channel. Rounding the multiplier moves a result by at most |acc| 2^(shift - 33):
    # 1/4 of a code for any 32-bit accumulator, and less than 2^-9 for |acc| < 2^24, at shift 0.
    exact = np.rint(np.atleast_1d(np.asarray(scale, dtype=np.float64)) * 2.0 ** (32 - shift))
    if not np.all(np.isfinite(exact)) or exact.max() >= 2**31:
        limit = 2.0 ** (shift - 1)
        raise LoweringError(
            "output scale too fine for the requantisation multiplier",
            where=where,
            got=f"scale ratio {float(np.max(scale)):.4g}",
            expected=f"below {limit:g}",
        )
    return exact.astype(np.int32)


def multiply_high(acc: Array, factor: Array | int, addend: Array | int = 0) -> Array:
    """Return ``(acc * factor + addend * 2^32 + 2^31) >> 32`` in int64: the one way of rounding."""
    wide: Array = acc.astype(np.int64) * np.asarray(factor, dtype=np.int64)
    return ((wide + (1 << 31)) >> 32) + addend


def saturate(values: Array) -> Array:
    """Clip to int8."""
    clipped: Array = np.clip(values, INT8_MIN, INT8_MAX).astype(np.int8)
    return clipped


def multiply16(acc: Array, factor: Array) -> Array:
    """Return ``(acc * factor + 2^23) >> 24`` in int64, for int16 outputs."""
    return (acc.astype(np.int64) * factor.astype(np.int64) + (1 << 23)) >> 24


def saturate16(values: Array) -> Array:
    """Clip to int16."""
    clipped: Array = np.clip(values, -(2**15), 2**15 - 1).astype(np.int16)
    return clipped


def symmetric16(limit: float) -> QuantParams:
    """Return the parameters that map [-limit, limit] to [-32767, 32767], for int16 tensors."""
    return QuantParams(max(limit, 1e-8) / (2**15 - 1))


def requantize(acc: Array, factor: Array | int, zero_point: Array | int) -> Array:
    """Return ``saturate8((acc * factor + zero_point * 2^32 + 2^31) >> 32)``."""
    return saturate(multiply_high(acc, factor, zero_point))


def integer_matmul(x: Array, weight: Array) -> Array:
    """Return ``x @ weight`` of integers as int64, by float64 BLAS: exact for sums below 2^53."""
    return np.rint(x.astype(np.float64) @ weight.astype(np.float64)).astype(np.int64)
