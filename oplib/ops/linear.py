"""Linear layers, and what all operators with a weight matrix share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Attributes, Node, TensorType
from oplib.ops.base import (
    OUTPUT,
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Epilogue,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Tensors,
    Touch,
    int32,
    rows_of,
)
from oplib.ops.packing import (
    QUAD,
    TILE,
    even,
    num_panels,
    pack_requant,
    pack_weight,
    panel_bytes,
    panel_sizes,
    panels,
    quads,
)
from oplib.ops.quant import (
    QuantParams,
    integer_matmul,
    multiplier,
    multiply16,
    quantize_weight,
    requantize,
    saturate16,
    weight_scales,
)
from oplib.ops.work import Work

SHIFT_S16 = 8  # 24 fraction bits: an int16 output has scale ratios up to 128
MAX_IN_FEATURES_S16 = 384  # 384 * 32767 * 127 + 2^29 < 2^31
MAX_IN_FEATURES = 2**15  # products stay below 2^29, as do the bias and its zero-point part


@cache
def linear_specs(in_features: int, out_features: int) -> tuple[ArraySpec, ...]:
    """Return the arrays of a linear layer in flash: packed weights, biases with multipliers."""
    channels = even(out_features)
    return (
        ArraySpec("weight", "int8", (channels, QUAD * quads(in_features))),
        ArraySpec("requant", "int32", (channels // 2, 4)),
    )


def pack_linear(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return lowered arrays with the linear layer packed as :func:`linear_specs` describes."""
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
        weight: float weights (out, in).
        bias: float biases (out,).
        source: scale and zero point of the input.
        target_scale: scale of the output.
        where: name of the layer, for messages.
        shift: reduces the fraction bits of the multipliers to 32 - shift.

    Returns:
        ``weight`` int8 (out, in), ``bias`` int32 (out,) and ``multiplier`` int32 (out,).

    Raises:
        LoweringError: a weight is not finite, the layer has too many inputs, or a scale ratio does
            not fit a multiplier.
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
    # With x = s_x (q - z) and w = s_w c, w x + b = s_w s_x (sum c q + b / (s_w s_x) - z sum c).
    # The last two terms are constant and become the bias. Each of the three stays below 2^29, by
    # MAX_IN_FEATURES (2^15 * 128 * 127) and by the smallest weight scale: the sum fits 32 bits.
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
    """Return the float bias (out,) that compensates the mean error of the rounded weights.

    Source: Nagel et al., 2019, bias correction, with the means of the calibration images.

    Args:
        weight: float weights (out, in).
        bias: float biases (out,).
        source: scale and zero point of the input.
        mean: mean of each input channel, (in,).
    """
    codes, scale = quantize_weight(weight, smallest_weight_scale(bias, source))
    corrected: Array = bias + (weight - codes * scale[:, None]) @ mean
    return corrected


def finest_scale(weight: Array, bias: Array, source: QuantParams, shift: int = 0) -> float:
    """Return the finest scale of a layer's output for which all multipliers exist.

    For an int8 output that is two steps of the coarsest channel's accumulator. The arguments are
    those of :func:`lower_linear`.
    """
    steps = weight_scales(weight, smallest_weight_scale(bias, source)) * source.scale
    return float(steps.max()) * 2.0 ** (32 - shift) / (2**31 - 1)


def smallest_weight_scale(bias: Array, source: QuantParams) -> Array:
    """Return the weight scales (out,) below which a bias would exceed 2^29 accumulator units."""
    limit: Array = np.abs(bias.astype(np.float64)) / (source.scale * 2**29)
    return np.maximum(limit, 1e-12)


def linear_fields(in_features: int, out_features: int, zero_point: int) -> tuple[Field, ...]:
    """Return the members of ``oplib_linear_s8_params``, with no table in the epilogue."""
    return (
        *int32(in_features=in_features, out_features=out_features, zero_point=zero_point),
        ArrayRef("weight", "weight"),
        ArrayRef("requant", "requant"),
        ArrayRef("table", None),
    )


def product_work(
    tokens: int, outputs: int, weight_bytes: int, *, untiled: int = 0, packed: bool = False
) -> Work:
    """Return the work of a matrix product.

    Args:
        tokens: number of tokens, or positions, that the matrix is applied to.
        outputs: elements of the result.
        weight_bytes: size of the matrix with padding; one product per byte and token.
        untiled: number of tokens that are read in pairs, without a tile.
        packed: whether a tile already holds the inputs.
    """
    features = weight_bytes * tokens / (outputs // tokens)  # inputs of all tokens
    return Work(
        products=weight_bytes * (tokens - untiled),
        paired_products=weight_bytes * untiled,
        outputs=outputs,
        packed_inputs=0 if packed else features,
    )


def linear_arguments(
    node: Node[LinearAttributes], buffers: Buffers, types: Sequence[TensorType]
) -> tuple[str, ...]:
    """Return the C arguments of the linear kernels before the parameter struct."""
    counts = types[0].shape[0], node.attrs.panel
    return buffers.inputs[0], buffers.output, buffers.scratch, *map(str, counts)


def accumulate(x: Array, arrays: Mapping[str, Array]) -> Array:
    """Return ``bias + x @ weight.T`` (..., out) as int64, of integers x (..., in)."""
    return integer_matmul(x, arrays["weight"].T) + arrays["bias"]


@dataclass(frozen=True)
class LinearAttributes(Attributes):
    """Attributes of a linear layer.

    Args:
        out_features: columns of the output.
        tiled: whether tokens are packed into a tile, which is twice as fast, or else read in pairs.
        panel: tokens per pass over the weights where they are packed; one pass serves all pairs.
    """

    out_features: int
    tiled: bool = True
    panel: int = TILE

    def passes(self, tokens: int) -> int:
        """Return how many times the weights are read."""
        return num_panels(tokens, self.panel) if self.tiled else 1


class LinearLayer(Operator[LinearAttributes]):
    """``y = x W^T + b`` per token, (tokens, in) to (tokens, out): the base of all forms."""

    family: ClassVar[str] = "linear"
    params: ClassVar[str | None] = "oplib_linear_s8_params"
    weighs_channels: ClassVar[bool] = True
    shift: ClassVar[int] = 0

    def output_type(self, node: Node[LinearAttributes], inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[0], node.attrs.out_features))

    def array_specs(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return linear_specs(inputs[0].shape[-1], node.attrs.out_features)

    def flash_arrays(self, node: Node[LinearAttributes], lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def scratch_parts(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        attrs = node.attrs
        return {"panel": panel_bytes(attrs.panel, inputs[0].shape[-1])} if attrs.tiled else {}

    def panel_sizes(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return panel_sizes(inputs[0].shape[0]) if node.attrs.tiled else ()

    def with_panel(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[LinearAttributes]:
        return replace(node, attrs=replace(node.attrs, panel=panel))

    def settings(self, node: Node[LinearAttributes]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel} if node.attrs.tiled else {}

    def work(self, node: Node[LinearAttributes], tensors: Tensors, *, inside: bool = False) -> Work:
        source, target = tensors[node.inputs[0]], tensors[node.output]
        specs = self.array_specs(node, (source,))
        tokens = target.size // node.attrs.out_features
        untiled = 0 if node.attrs.tiled else tokens
        weight_bytes = specs[0].num_bytes
        work = product_work(tokens, target.size, weight_bytes, untiled=untiled, packed=inside)
        constants = sum(spec.num_bytes for spec in specs)
        read = node.attrs.passes(tokens)
        loaded = -(-tokens // (TILE if node.attrs.tiled else 2))
        return work + Work(bytes_read=read * constants, bytes_reread=(loaded - read) * constants)

    def run_float(
        self, node: Node[LinearAttributes], params: Params, inputs: Sequence[Array]
    ) -> Array:
        result: Array = inputs[0] @ params["weight"].T + params["bias"]
        return result

    def lower(
        self, node: Node[LinearAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        target = context.of(node.output)
        source = context.of(node.inputs[0])
        weight, bias = params["weight"], params["bias"]
        mean = context.means.get(node.inputs[0])
        if mean is not None:
            bias = corrected_bias(weight, bias, source, mean)
        arrays = lower_linear(weight, bias, source, target.scale, node.name, self.shift)
        return Lowered(arrays, {"zero_point": target.zero_point})

    def finest_scale(
        self, node: Node[LinearAttributes], params: Params, context: LoweringContext
    ) -> float:
        source = context.of(node.inputs[0])
        return finest_scale(params["weight"], params["bias"], source, self.shift)

    def run_integer(
        self, node: Node[LinearAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return requantize(acc, lowered.arrays["multiplier"], lowered.scalars["zero_point"])

    def fields(
        self,
        node: Node[LinearAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        return linear_fields(inputs[0].shape[-1], node.attrs.out_features, scalars["zero_point"])

    def call_arguments(
        self, node: Node[LinearAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return linear_arguments(node, buffers, types)


class Linear(LinearLayer):
    """The linear layer from int8 to int8."""

    kernel: ClassVar[str] = "oplib_linear_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_linear_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (0,)
    streamable: ClassVar[bool] = True
    panel_kernel: ClassVar[str | None] = "oplib_tile_linear_tile_s8"

    def can_overwrite(
        self, node: Node[LinearAttributes], source: TensorType, target: TensorType
    ) -> bool:
        return node.attrs.tiled

    def touches(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield panel by panel, from the last one where rows grow: read it, then write it."""
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        # Output and input begin at the same byte. After a panel that ends with token t, forwards,
        # written rows end at (t + 1) * out and unread ones begin at (t + 1) * in: safe for
        # out <= in. Backwards, unread rows end at t * in before the panel's first token t, and
        # written ones begin at t * out: safe for out >= in.
        backward = output.shape[1] > inputs[0].shape[1]
        for first, stop in panels(output.shape[0], node.attrs.panel, backward=backward):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def with_epilogue(self, node: Node[LinearAttributes], epilogue: Epilogue) -> str | None:
        if epilogue == "add" and not node.attrs.tiled:
            return None
        return {"table": "linear_table", "add": "linear_add"}[epilogue]

    def untiled(self, node: Node[LinearAttributes]) -> Node[LinearAttributes]:
        return replace(node, attrs=replace(node.attrs, tiled=False))


class LinearToS16(LinearLayer):
    """The linear layer with int16 output, used as the first of two low-rank factors."""

    kernel: ClassVar[str] = "oplib_linear_s8_s16"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )
    streamable: ClassVar[bool] = True
    panel_kernel: ClassVar[str | None] = "oplib_tile_linear_tile_s16"
    shift: ClassVar[int] = SHIFT_S16

    def output_type(self, node: Node[LinearAttributes], inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[0], node.attrs.out_features), "int16")

    def run_integer(
        self, node: Node[LinearAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return saturate16(multiply16(acc, lowered.arrays["multiplier"]))


class LinearFromS16(LinearLayer):
    """The linear layer with int16 input, used as the second of two low-rank factors."""

    kernel: ClassVar[str] = "oplib_linear_s16_s8"
    helpers: ClassVar[tuple[str, ...]] = ("oplib_tile_linear_s8",)
    streamable: ClassVar[bool] = True

    def lower(
        self, node: Node[LinearAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        features = params["weight"].shape[1]
        if features > MAX_IN_FEATURES_S16:
            raise LoweringError(
                "too many 16-bit inputs for a 32-bit accumulator; use low_rank=int8",
                where=node.name,
                got=features,
                expected=f"at most {MAX_IN_FEATURES_S16}",
            )
        return super().lower(node, params, context)
