"""Multi-head attention in integers, with one division a row."""

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
    Span,
    Touch,
    whole,
)
from oplib.ops.linear import tiles
from oplib.ops.packing import QUAD, even, quads, tile_bytes
from oplib.ops.quant import INT8_MAX, integer_matmul, multiplier, requantize
from oplib.ops.softmax import (
    MAX_TOKENS,
    lower_softmax,
    softmax_fields,
    softmax_specs,
    softmax_weights,
)

TABLES = ("key_rows", "key_cols", "value_rows", "value_cols")


def scores_name(node: Node) -> str:
    """Name the scores inside an attention node, for calibration."""
    return f"{node.name}.scores"


def weights_bytes(node: Node, tokens: int) -> int:
    """Return the bytes of four rows of scores and of their softmax, for one head."""
    plain = node.attrs.get("softmax", 0) == 0 and not node.attrs.get("normalized", 0)
    return (12 if plain else 14) * QUAD * quads(tokens)


def split_heads(x: Array, num_heads: int) -> Array:
    """(B, N, H * d) to (B, H, N, d)."""
    batch, tokens, dim = x.shape
    return x.reshape(batch, tokens, num_heads, dim // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: Array) -> Array:
    """(B, H, N, d) to (B, N, H * d)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


class Attention(Operator):
    """``softmax(q k^T / sqrt(head_dim)) v`` a head; inputs q, k, v (tokens, heads * head_dim)."""

    kernel: ClassVar[str] = "oplib_attention_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_rows_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_scores_s8",
        "oplib_tile_softmax_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (0,)
    symmetric_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return softmax_specs(node)

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        tokens, width = inputs[0].shape
        head_dim = width // node.int_attr("num_heads")
        return {
            "keys": even(tokens) * QUAD * quads(head_dim),
            "values": even(head_dim) * QUAD * quads(tokens),
            "queries": tile_bytes(head_dim),
            "weights": weights_bytes(node, tokens),
        }

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Head by head, read a tile of queries, then write their outputs."""
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        tokens, width = inputs[0].shape
        others = tuple(whole(index, inputs[index]) for index in (1, 2))
        head_dim = width // node.int_attr("num_heads")
        for head in range(0, width, head_dim):
            for first, stop in tiles(tokens):
                at = [(t * width + head, t * width + head + head_dim) for t in range(first, stop)]
                queries = tuple(Span(0, *span) for span in at)
                yield Touch((*queries, *others), tuple(Span(OUTPUT, *span) for span in at))

    def relative(self, node: Node, tables: Mapping[str, Array], kind: str) -> Array | None:
        """Return what pairs of tokens add to keys or values, (N, N, head_dim), or None."""
        return None

    def _float_scores(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        q, k = (split_heads(x, node.int_attr("num_heads")) for x in inputs[:2])
        scores = q @ k.transpose(0, 1, 3, 2)
        added = self.relative(node, params, "key")
        if added is not None:
            scores = scores + np.einsum("bhid,ijd->bhij", q, added, optimize=True)
        result: Array = scores * np.float32(q.shape[-1] ** -0.5)
        return result

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        scores = self._float_scores(node, params, inputs)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        out = weights @ split_heads(inputs[2], node.int_attr("num_heads"))
        added = self.relative(node, params, "value")
        if added is not None:
            out = out + np.einsum("bhij,ijd->bhid", weights, added, optimize=True)
        return merge_heads(out)

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        return {scores_name(node): self._float_scores(node, params, inputs)}

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        q, k, v = (context.of(name) for name in node.inputs)
        target, scores = context.of(node.output), context.of(scores_name(node))
        tokens, width = context.inputs[0].shape
        if tokens > MAX_TOKENS:
            raise LoweringError(
                "too many tokens for a 32-bit accumulator",
                where=node.name,
                got=tokens,
                expected=f"at most {MAX_TOKENS}",
            )
        head_dim = width // node.int_attr("num_heads")
        ratio = q.scale * k.scale / (np.sqrt(head_dim) * scores.scale)
        numerator = round(v.scale / target.scale * 2**32)
        limit = 2**37 if node.attrs.get("normalized", 0) else 2**45
        if numerator >= limit:  # divided by the sum it must fit 31 bits
            raise LoweringError("output scale too fine for the values", where=node.name)
        arrays, exponent = lower_softmax(node, scores.scale)
        scalars = {
            "score_multiplier": int(multiplier(ratio, scores_name(node))[0]),
            "value_numerator": numerator,
            "zero_point": target.zero_point,
            "exponent": exponent,
        }
        return Lowered(arrays, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        q, k, v = (split_heads(x, node.int_attr("num_heads")) for x in inputs)
        dots = integer_matmul(q, k.transpose(0, 1, 3, 2))
        added = self.relative(node, lowered.arrays, "key")
        if added is not None:
            dots = dots + _integer_einsum("bhid,ijd->bhij", q, added)
        scores = requantize(dots, lowered.scalars["score_multiplier"], 0)
        table = lowered.arrays.get("exp_table")
        weights, total = softmax_weights(node, scores, table, lowered.scalars["exponent"])
        factor = (lowered.scalars["value_numerator"] + total // 2) // total
        sums = integer_matmul(weights, v)
        added = self.relative(node, lowered.arrays, "value")
        if added is not None:
            sums = sums + _integer_einsum("bhij,ijd->bhid", weights, added)
        return merge_heads(requantize(sums, factor, lowered.scalars["zero_point"]))

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        heads = node.int_attr("num_heads")
        return (
            Field("num_heads", "int32_t", heads),
            Field("head_dim", "int32_t", inputs[0].shape[-1] // heads),
            Field("score_multiplier", "int32_t", scalars["score_multiplier"]),
            Field("zero_point", "int32_t", scalars["zero_point"]),
            Field("value_numerator", "uint64_t", scalars["value_numerator"]),
            Field("softmax", "struct", softmax_fields(node, scalars["exponent"])),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return *buffers.inputs, buffers.output, buffers.scratch, str(types[0].shape[0])


class AttentionRelative(Attention):
    """Attention with AutoFormer's two-dimensional relative position in keys and values.

    ``softmax(q (k + r_k)^T / sqrt(head_dim)) (v + r_v)``, r of a pair the sum of a vector by row
    distance and one by column distance, tables (2 * max_distance + 2, head_dim).
    """

    kernel: ClassVar[str] = "oplib_attention_relative_s8"
    helpers: ClassVar[tuple[str, ...]] = ("oplib_softmax_s8",)

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        shape = (self._rows(node), inputs[0].shape[-1] // node.int_attr("num_heads"))
        return (*softmax_specs(node), *(ArraySpec(name, "int8", shape) for name in TABLES))

    def _rows(self, node: Node) -> int:
        return 2 * node.int_attr("max_distance") + 2

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        return {"weights": 8 * node.int_attr("grid_size") + 3 * inputs[0].shape[0]}

    def relative(self, node: Node, tables: Mapping[str, Array], kind: str) -> Array | None:
        rows, cols = pair_rows(
            node.int_attr("grid_size"), node.int_attr("max_distance"), node.int_attr("first")
        )
        by_row, by_col = tables[f"{kind}_rows"], tables[f"{kind}_cols"]
        if by_row.dtype == np.int8:
            by_row, by_col = by_row.astype(np.int64), by_col.astype(np.int64)
        result: Array = by_row[rows] + by_col[cols]
        return result

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        keys = np.concatenate([params["key_rows"], params["key_cols"]])
        values = np.concatenate([params["value_rows"], params["value_cols"]])
        scores = super().internals(node, params, inputs)
        return {**scores, node.inputs[1]: keys, node.inputs[2]: values}  # at their scales

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        lowered = super().lower(node, params, context)
        for name in TABLES:
            source = context.of(node.inputs[1 if name.startswith("key") else 2])
            codes = np.rint(params[name].astype(np.float64) / source.scale)
            lowered.arrays[name] = np.clip(codes, -INT8_MAX, INT8_MAX).astype(np.int8)
        return lowered

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (
            Field("grid_size", "int32_t", node.int_attr("grid_size")),
            Field("max_distance", "int32_t", node.int_attr("max_distance")),
            Field("key_rows", "array", "key_rows"),
            Field("key_columns", "array", "key_cols"),
            Field("value_rows", "array", "value_rows"),
            Field("value_columns", "array", "value_cols"),
            Field("attention", "struct", super().fields(node, inputs, scalars)),
        )


def pair_rows(grid_size: int, max_distance: int, first: int) -> tuple[Array, Array]:
    """Return the table rows of every pair of tokens, (N, N), by row and by column distance.

    Args:
        first: 1 with a class token, whose pairs take row 0.
    """
    places = np.arange(grid_size**2)
    found = []
    for coordinate in (places // grid_size, places % grid_size):
        distance = np.clip(coordinate[None] - coordinate[:, None], -max_distance, max_distance)
        found.append(np.pad(distance + max_distance + 1, ((first, 0), (first, 0))))
    return found[0], found[1]


def _integer_einsum(equation: str, x: Array, added: Array) -> Array:
    """Return an exact sum of integer products, through float64."""
    exact = np.einsum(equation, x.astype(np.float64), added.astype(np.float64), optimize=True)
    result: Array = np.rint(exact).astype(np.int64)
    return result
