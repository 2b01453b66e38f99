"""GELU: a table of all 256 inputs, exact up to the output's rounding, and two integer forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import (
    Array,
    ArraySpec,
    Epilogue,
    Field,
    Lowered,
    LoweringContext,
    Params,
    Scalar,
)
from oplib.ops.elementwise import Elementwise
from oplib.ops.quant import multiplier, requantize
from oplib.ops.softmax import ONE, exp2_polynomial

CLIP = 7246  # 1.769 with 12 fraction bits
CURVATURE = 9463  # 0.2888 with 15 fraction bits


class Gelu(Elementwise):
    """The Gaussian error linear unit in its exact form, ``x / 2 (1 + erf(x / sqrt 2))``."""

    family: ClassVar[str] = "gelu"

    def real(self, x: Array) -> Array:
        from scipy.special import erf  # its import is a third of a command's start

        result: Array = 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))
        return result


class GeluInteger(Gelu):
    """A form without a table: ``t`` times a factor in [0, 2^bits], t the code minus its zero point.

    Attributes:
        input_factor: what the factor's argument is multiplied by; the product with the input's
            scale has 16 fraction bits.
        bits: fraction bits of the factor.
    """

    epilogue: ClassVar[Epilogue | None] = None
    input_factor: ClassVar[float]
    bits: ClassVar[int]

    def factor(self, magnitude: Array, negative: Array) -> Array:
        """Return the factor of ``t`` in int64.

        Args:
            magnitude: ``|t| * scale * input_factor`` with 16 fraction bits.
            negative: whether t < 0.
        """
        raise NotImplementedError

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return ()

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        factor = max(1, round(source.scale * self.input_factor * 2**16))
        if factor >= 2**22:  # 255 * 2^22 < 2^30: the magnitude fits 32 bits
            raise LoweringError(
                "scale of GELU's input too coarse", where=node.name, got=source.scale
            )
        ratio = source.scale / (target.scale * 2**self.bits)
        scalars = {
            "in_zero_point": source.zero_point,
            "factor": factor,
            "multiplier": int(multiplier(ratio, node.name)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered({}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        t = inputs[0].astype(np.int64) - lowered.scalars["in_zero_point"]
        product = t * self.factor(np.abs(t) * lowered.scalars["factor"], t < 0)
        return requantize(product, lowered.scalars["multiplier"], lowered.scalars["zero_point"])

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (
            Scalar("in_zero_point", "int32_t", scalars["in_zero_point"]),
            Scalar("factor", "uint32_t", scalars["factor"]),
            Scalar("multiplier", "int32_t", scalars["multiplier"]),
            Scalar("zero_point", "int32_t", scalars["zero_point"]),
        )


class GeluSigmoid(GeluInteger):
    """``x sigmoid(1.702 x)``, the sigmoid as softmax over {1.702 x, 0} (MCUFormer, supplement)."""

    kernel: ClassVar[str] = "oplib_gelu_sigmoid_s8"
    panel_kernel: ClassVar[str | None] = "oplib_tile_gelu_sigmoid_s8"
    input_factor: ClassVar[float] = 1.702 * float(np.log2(np.e))
    bits: ClassVar[int] = 15

    def factor(self, magnitude: Array, negative: Array) -> Array:
        # With e = exp(-1.702 |x|) = 2^-magnitude, the sigmoid is 1 / (1 + e) for x >= 0 and
        # e / (1 + e) for x < 0: the exponential never exceeds 1.
        e = exp2_polynomial(magnitude)
        numerator = np.where(negative, e, ONE)
        result: Array = ((numerator << 15) + (ONE + e) // 2) // (ONE + e)
        return result


class GeluPolynomial(GeluInteger):
    """``x (1 + erf) / 2`` with a second-order erf (I-BERT, Kim et al., 2021, section 3.4)."""

    kernel: ClassVar[str] = "oplib_gelu_polynomial_s8"
    panel_kernel: ClassVar[str | None] = "oplib_tile_gelu_polynomial_s8"
    input_factor: ClassVar[float] = float(1 / np.sqrt(2.0))
    bits: ClassVar[int] = 16

    def factor(self, magnitude: Array, negative: Array) -> Array:
        # erf(u) = sign(u) (1 - 0.2888 (1.769 - min(|u|, 1.769))^2), u = x / sqrt 2. The magnitude
        # loses four bits so that its square has 24 fraction bits and fits 32.
        to_clip = np.maximum(CLIP - (magnitude >> 4), 0)
        drop = (((to_clip * to_clip) >> 9) * CURVATURE) >> 15
        erf_magnitude = np.where(magnitude == 0, 0, 32768 - drop)  # sign(0) = 0
        result: Array = np.where(negative, 32768 - erf_magnitude, 32768 + erf_magnitude)
        return result
