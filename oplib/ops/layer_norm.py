"""Layer normalisation with exact integer statistics and an integer square root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.forms import SQRT_STEPS as SQRT_FORMS
from oplib.graph import Attributes, Node, TensorType
from oplib.ops.base import (
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Scalar,
    Tensors,
)
from oplib.ops.quant import multiply_high, saturate
from oplib.ops.work import Work

MAX_FEATURES = 1024  # centred values stay below sqrt(features - 1) 2^26 < 2^31
STATISTICS_BITS = 52  # the shift s >= -20, so that 2^(s / 2 + 10) is an integer
SQRT_STEPS = SQRT_FORMS["newton4"]


def isqrt(numbers: Array, steps: int = SQRT_STEPS) -> Array:
    """Return the integer square root by Newton's method (MCUFormer, supplement, algorithm 1).

    Args:
        numbers: integers in [0, 2^32), any shape.
        steps: number of Newton steps; four give the floor or one more. 0 stands for I-BERT's rule
            (Kim et al., 2021, algorithm 4): it iterates while the root falls and gives the floor.

    Returns:
        int64 roots; that of 0 is 0.
    """
    # The start 2^ceil(bits / 2) is above the root by a relative error e <= 1. A step from above
    # stays above and leaves e^2 / (2 (1 + e)): 1/4, 1/40, 3e-4, 5e-8. Roots are below 2^16, so four
    # steps end within 0.01 of the root before rounding down.
    n = numbers.astype(np.int64)
    bits = np.frexp(np.maximum(n, 1).astype(np.float64))[1]
    x = np.where(n == 0, 1, np.int64(1) << ((bits + 1) // 2).astype(np.int64))
    for _ in range(steps):
        x = (x + n // np.maximum(x, 1)) >> 1
    active = np.full(x.shape, steps == 0)
    while active.any():
        following = (x + n // np.maximum(x, 1)) >> 1
        active &= following < x
        x = np.where(active, following, x)
    return np.where(n == 0, 0, x)


@dataclass(frozen=True)
class LayerNormAttributes(Attributes):
    """Attributes of a layer norm.

    Args:
        eps: added to the variance.
        sqrt_steps: number of Newton steps of the square root; 0 is I-BERT's stopping rule.
    """

    eps: float
    sqrt_steps: int = SQRT_STEPS


class LayerNorm(Operator[LayerNormAttributes]):
    """``y = gamma (x - mean) / sqrt(variance + eps) + beta`` over the features of each token."""

    family: ClassVar[str] = "layer_norm"
    kernel: ClassVar[str] = "oplib_layer_norm_s8"
    params: ClassVar[str | None] = "oplib_layer_norm_s8_params"
    streamable: ClassVar[bool] = True
    panel_kernel: ClassVar[str | None] = "oplib_tile_layer_norm_s8"
    scales_channels: ClassVar[bool] = True
    largest_code: ClassVar[float] = 127.5  # largest distance from the middle of the codes
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def output_type(
        self, node: Node[LayerNormAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        return inputs[0]

    def array_specs(
        self, node: Node[LayerNormAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        features = inputs[0].shape[-1]
        return (ArraySpec("affine", "int32", (features, 2)),)

    def flash_arrays(
        self, node: Node[LayerNormAttributes], lowered: Lowered
    ) -> Mapping[str, Array]:
        return {"affine": np.stack([lowered.arrays["gamma"], lowered.arrays["beta"]], axis=1)}

    def work(
        self, node: Node[LayerNormAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        source = tensors[node.inputs[0]]
        constants = sum(spec.num_bytes for spec in self.array_specs(node, (source,)))
        rows = source.size // source.shape[-1]
        return Work(
            norm_elements=source.size,
            bytes_read=constants,
            bytes_reread=(rows - 1) * constants,
        )

    def run_float(
        self, node: Node[LayerNormAttributes], params: Params, inputs: Sequence[Array]
    ) -> Array:
        x = inputs[0]
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        normal = centred / np.sqrt(variance + np.float32(node.attrs.eps))
        result: Array = (normal * params["weight"] + params["bias"]).astype(np.float32)
        return result

    def lower(
        self, node: Node[LayerNormAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        features = context.inputs[0].shape[-1]
        source, target = context.of(node.inputs[0]), context.of(node.output)
        if features > MAX_FEATURES:
            raise LoweringError(
                "too many features for a layer norm in integers",
                where=node.name,
                got=features,
                expected=f"at most {MAX_FEATURES}",
            )
        # Codes within a distance of their middle have at most that standard deviation (Popoviciu's
        # inequality), so features^2 times its square, plus eps, bounds the statistics.
        eps = round(node.attrs.eps * features**2 / source.scale**2)
        if features**2 * self.largest_code**2 + eps >= 2**STATISTICS_BITS:
            raise LoweringError(
                f"integer statistics would overflow {STATISTICS_BITS} bits",
                where=node.name,
                got=f"eps {eps} units",
                expected="a smaller norm_eps, or a wider range of the norm's input",
            )
        # In run_integer, gamma takes 23 fraction bits to 7, and beta includes half a code.
        gamma = np.rint(params["weight"].astype(np.float64) / target.scale * 2**16)
        offset = params["bias"].astype(np.float64) / target.scale + target.zero_point
        beta = np.rint(offset * 2**7) + 2**6
        for name, values in (("gamma", gamma), ("beta", beta)):
            if not np.all(np.isfinite(values)) or np.abs(values).max() >= 2**30:
                raise LoweringError(f"{name} does not fit its integers", where=node.name)
        arrays = {"gamma": gamma.astype(np.int32), "beta": beta.astype(np.int32)}
        return Lowered(arrays, {"eps": eps})

    def run_integer(
        self, node: Node[LayerNormAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        # In code units, and all multiplied by n = features so that nothing is divided:
        #   V = n sum x^2 - (sum x)^2 + eps = n^2 (variance + eps), exact.
        #   V 2^s in [2^30, 2^32) for an even s, which is negative where V has more than 32 bits; so
        #   r = isqrt(V 2^s) = sqrt(V) 2^(s/2) has 16 bits.
        #   inverse = 2^45 / r;  centred = (n x - sum x) 2^(s/2 + 10).
        # The high product centred * inverse / 2^32 is the normalised value with 23 fraction bits.
        # It fits: |n x - sum x| <= sqrt(n - 1) sqrt(V) (Samuelson's inequality), hence
        # |centred| < sqrt(n - 1) 2^26 < 2^31 for n <= 1024.
        x = inputs[0].astype(np.int64)
        features = x.shape[-1]
        total = x.sum(axis=-1, keepdims=True)
        squares = (x * x).sum(axis=-1, keepdims=True)
        variance = np.maximum(features * squares - total * total + lowered.scalars["eps"], 1)
        bits = np.frexp(variance.astype(np.float64))[1].astype(np.int64)
        shift = (32 - bits) & ~np.int64(1)
        scaled = (variance >> np.maximum(-shift, 0)) << np.maximum(shift, 0)
        inverse = (0x7FFFFFFF // isqrt(scaled, node.attrs.sqrt_steps)) << 14
        centred = (x * features - total) << (shift // 2 + 10)
        normal = multiply_high(centred, inverse)
        value = multiply_high(normal, lowered.arrays["gamma"], lowered.arrays["beta"])
        return saturate(value >> 7)

    def fields(
        self,
        node: Node[LayerNormAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        return (
            Scalar("features", "int32_t", inputs[0].shape[-1]),
            Scalar("sqrt_steps", "int32_t", node.attrs.sqrt_steps),
            Scalar("eps", "uint64_t", scalars["eps"]),
            ArrayRef("affine", "affine"),
        )

    def call_arguments(
        self, node: Node[LayerNormAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        rows = types[0].size // types[0].shape[-1]
        return buffers.inputs[0], buffers.output, str(rows)


class LayerNormS16(LayerNorm):
    """Layer norm of an int16 residual stream; the output is int8."""

    kernel: ClassVar[str] = "oplib_layer_norm_s16"
    panel_kernel: ClassVar[str | None] = "oplib_tile_layer_norm_s16"
    in_place: ClassVar[tuple[int, ...]] = ()
    largest_code: ClassVar[float] = 32767.5

    def output_type(
        self, node: Node[LayerNormAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        return TensorType(inputs[0].shape)
