"""Linear layers, and the parts that every operator with a weight matrix shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import (
    OUTPUT,
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Touch,
    rows_of,
)
from oplib.ops.packing import QUAD, TILE, even, pack_requant, pack_weight, quads, tile_bytes
from oplib.ops.quant import (
    QuantParams,
    integer_matmul,
    multiplier,
    multiply16,
    quantize_weight,
    requantize,
    saturate16,
)

SHIFT_S16 = 8  # 24 fraction bits: an int16 output has scale ratios up to 128
MAX_IN_FEATURES_S16 = 384  # 384 * 32767 * 127 + 2^29 < 2^31
MAX_IN_FEATURES = 2**15  # products stay below 2^29, as do the bias and its zero-point part


def tiles(tokens: int, *, backward: bool = False) -> list[tuple[int, int]]:
    """Return first token and end of each tile, in the order of work."""
    found = [(first, min(first + TILE, tokens)) for first in range(0, tokens, TILE)]
    return found[::-1] if backward else found


def linear_specs(in_features: int, out_features: int) -> tuple[ArraySpec, ...]:
    """Return the arrays of a weight matrix in flash: packed weights, biases with multipliers."""
    channels = even(out_features)
    return (
        ArraySpec("weight", "int8", (channels, QUAD * quads(in_features))),
        ArraySpec("requant", "int32", (channels // 2, 4)),
    )


def pack_linear(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return lowered arrays with the weight matrix as :func:`linear_specs` has it."""
    packed = {k: v for k, v in arrays.items() if k not in ("weight", "bias", "multiplier")}
    return packed | {
        "weight": pack_weight(arrays["weight"]),
        "requant": pack_requant(arrays["bias"], arrays["multiplier"]),
    }


def lower_linear(
    weight: Array,
    bias: Array,
    source: QuantParams,
    target_scale: float,
    where: str,
    shift: int = 0,
) -> dict[str, Array]:
    """Quantise a weight matrix and its bias; the input's zero point moves into the bias.

    Args:
        weight: float (out, in). bias: float (out,).
        source: quantisation of the input.
        target_scale: scale of the output.
        where: the layer's name in messages.
        shift: the multipliers have 32 - shift fraction bits.

    Raises:
        LoweringError: a weight is no number, or a scale has no multiplier.
    """
    if not (np.all(np.isfinite(weight)) and np.all(np.isfinite(bias))):
        raise LoweringError("a weight is NaN or infinite", where=where)
    if weight.shape[1] > MAX_IN_FEATURES:
        raise LoweringError(
            "too many inputs for a 32-bit accumulator",
            where=where,
            got=weight.shape[1],
            expected=f"at most {MAX_IN_FEATURES}",
        )
    codes, scale = quantize_weight(weight, smallest_weight_scale(bias, source))
    scale = scale * source.scale
    units = np.rint(bias.astype(np.float64) / scale).astype(np.int64)
    folded = units - source.zero_point * codes.astype(np.int64).sum(axis=1)
    return {
        "weight": codes,
        "bias": folded.astype(np.int32),
        "multiplier": multiplier(scale / target_scale, where, shift),
    }


def corrected_bias(weight: Array, bias: Array, source: QuantParams, mean: Array) -> Array:
    """Return the bias that takes up the mean error of the rounded weights.

    Args:
        mean: of each input channel, (in,).
    """
    codes, scale = quantize_weight(weight, smallest_weight_scale(bias, source))
    corrected: Array = bias + (weight - codes * scale[:, None]) @ mean
    return corrected


def smallest_weight_scale(bias: Array, source: QuantParams) -> Array:
    """Return the weight scales (out,) below which a bias would take more than 2^29 units."""
    limit: Array = np.abs(bias.astype(np.float64)) / (source.scale * 2**29)
    return np.maximum(limit, 1e-12)


def linear_fields(
    in_features: int, out_features: int, zero_point: int, table: str | None = None
) -> tuple[Field, ...]:
    """Return the members of ``oplib_linear_s8_params``."""
    return (
        Field("in_features", "int32_t", in_features),
        Field("out_features", "int32_t", out_features),
        Field("zero_point", "int32_t", zero_point),
        Field("weight", "array", "weight"),
        Field("requant", "array", "requant"),
        Field("table", "array", table),
    )


def accumulate(x: Array, arrays: Mapping[str, Array]) -> Array:
    """Return ``bias + x @ weight.T`` as int64."""
    return integer_matmul(x, arrays["weight"].T) + arrays["bias"]


class Linear(Operator):
    """``y = x W^T + b`` a token; (tokens, in) to (tokens, out)."""

    kernel: ClassVar[str] = "oplib_linear_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_linear_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (0,)
    shift: ClassVar[int] = 0

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[0], node.int_attr("out_features")))

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return linear_specs(inputs[0].shape[-1], node.int_attr("out_features"))

    def flash_arrays(self, node: Node, lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        return {"tile": tile_bytes(inputs[0].shape[-1])} if node.attrs.get("tiled", 1) else {}

    def can_overwrite(self, node: Node, source: TensorType, target: TensorType) -> bool:
        return bool(node.attrs.get("tiled", 1))

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Read a tile of tokens, then write it; from the last tile where rows grow."""
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        for first, stop in tiles(output.shape[0], backward=output.shape[1] > inputs[0].shape[1]):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        result: Array = inputs[0] @ params["weight"].T + params["bias"]
        return result

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        target = context.of(node.output)
        source = context.of(node.inputs[0])
        weight, bias = params["weight"], params["bias"]
        mean = context.means.get(node.inputs[0])
        if mean is not None:
            bias = corrected_bias(weight, bias, source, mean)
        arrays = lower_linear(weight, bias, source, target.scale, node.name, self.shift)
        return Lowered(arrays, {"zero_point": target.zero_point})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return requantize(acc, lowered.arrays["multiplier"], lowered.scalars["zero_point"])

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        out_features = node.int_attr("out_features")
        return linear_fields(inputs[0].shape[-1], out_features, scalars["zero_point"])

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, buffers.scratch, str(types[0].shape[0])


class LinearToS16(Linear):
    """The same with an int16 output: what lies between two factors at 16 bits."""

    kernel: ClassVar[str] = "oplib_linear_s8_s16"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = ()
    shift: ClassVar[int] = SHIFT_S16
    params: ClassVar[str] = "oplib_linear_s8_params"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[0], node.int_attr("out_features")), "int16")

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return saturate16(multiply16(acc, lowered.arrays["multiplier"]))


class LinearFromS16(Linear):
    """The same with an int16 input."""

    kernel: ClassVar[str] = "oplib_linear_s16_s8"
    helpers: ClassVar[tuple[str, ...]] = ("oplib_tile_linear_s8",)
    in_place: ClassVar[tuple[int, ...]] = ()
    params: ClassVar[str] = "oplib_linear_s8_params"

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        features = params["weight"].shape[1]
        if features > MAX_IN_FEATURES_S16:
            raise LoweringError(
                "too many 16-bit inputs for a 32-bit accumulator; use low_rank=int8",
                where=node.name,
                got=features,
                expected=f"at most {MAX_IN_FEATURES_S16}",
            )
        return super().lower(node, params, context)


class LinearGelu(Linear):
    """A linear layer with GELU's table in its epilogue; parts: the layer, the GELU."""

    params: ClassVar[str] = "oplib_linear_s8_params"


class LinearAdd(Operator):
    """A linear layer with the residual addition in its epilogue; parts: the layer, the addition.

    Inputs are the layer's input and the residual stream, which the output overwrites.
    """

    kernel: ClassVar[str] = "oplib_linear_add_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_linear_add_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (1,)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[1]

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        return {"tile": tile_bytes(inputs[0].shape[-1])}

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        for first, stop in tiles(output.shape[0]):
            reads = tuple(rows_of(index, kind, first, stop) for index, kind in enumerate(inputs))
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return Field("linear", "part", 0), Field("add", "part", 1)

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, buffers.scratch, str(types[0].shape[0])
