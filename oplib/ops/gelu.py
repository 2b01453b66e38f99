"""GELU: a table of all 256 inputs, exact to the rounding of its output, and two integer forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from scipy.special import erf

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
    """The Gaussian error linear unit ``x / 2 (1 + erf(x / sqrt 2))``, the exact form."""

    family: ClassVar[str] = "gelu"

    def real(self, x: Array) -> Array:
        result: Array = 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))
        return result


class GeluInteger(Gelu):
    """A form without table: ``t`` times a factor in [0, 2^bits], t the input less its zero point.

    Attributes:
        input_factor: the input's scale is multiplied by it, with 16 fraction bits.
        bits: fraction bits of the factor.
    """

    epilogue: ClassVar[Epilogue | None] = None
    streamable: ClassVar[bool] = False
    input_factor: ClassVar[float]
    bits: ClassVar[int]

    def factor(self, magnitude: Array, negative: Array) -> Array:
        """Return the factor of ``t``, whose magnitude times `input_factor` is given."""
        raise NotImplementedError

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return ()

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        factor = max(1, round(source.scale * self.input_factor * 2**16))
        if factor >= 2**22:
            raise LoweringError("GELU's input too coarse", where=node.name, got=source.scale)
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
    """``x sigmoid(1.702 x)``, the sigmoid a softmax over {1.702 x, 0} (MCUFormer, supplement)."""

    kernel: ClassVar[str] = "oplib_gelu_sigmoid_s8"
    input_factor: ClassVar[float] = 1.702 * float(np.log2(np.e))
    bits: ClassVar[int] = 15

    def factor(self, magnitude: Array, negative: Array) -> Array:
        e = exp2_polynomial(magnitude)
        above = np.where(negative, e, ONE)
        result: Array = ((above << 15) + (ONE + e) // 2) // (ONE + e)
        return result


class GeluPolynomial(GeluInteger):
    """``x (1 + erf) / 2`` with a second-order erf (I-BERT, Kim et al., 2021, section 3.4)."""

    kernel: ClassVar[str] = "oplib_gelu_polynomial_s8"
    input_factor: ClassVar[float] = float(1 / np.sqrt(2.0))
    bits: ClassVar[int] = 16

    def factor(self, magnitude: Array, negative: Array) -> Array:
        short_of = np.maximum(CLIP - (magnitude >> 4), 0)
        drop = (((short_of * short_of) >> 9) * CURVATURE) >> 15
        value = np.where(magnitude == 0, 0, 32768 - drop)  # t = 0 has no sign
        result: Array = np.where(negative, 32768 - value, 32768 + value)
        return result
