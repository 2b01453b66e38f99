"""Multi-head attention in integers, with one division per row of scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import (
    OUTPUT,
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Operator,
    Params,
    Scalar,
    Span,
    Tensors,
    Touch,
    int32,
    whole,
)
from oplib.ops.packing import QUAD, TILE, even, panels, quads, tile_bytes
from oplib.ops.quant import INT8_MAX, integer_matmul, multiplier, requantize
from oplib.ops.softmax import (
    MAX_TOKENS,
    SoftmaxAttributes,
    dropped_bits,
    lower_softmax,
    softmax_fields,
    softmax_specs,
    softmax_weights,
)
from oplib.ops.work import Work

TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")


def scores_name(node: Node) -> str:
    """Return the name under which calibration keeps the scores of an attention node."""
    return f"{node.name}.scores"


@dataclass(frozen=True)
class AttentionAttributes(SoftmaxAttributes):
    """Attributes of attention.

    Args:
        num_heads: number of heads; each takes an equal part of the width.
    """

    num_heads: int = field(kw_only=True)


@dataclass(frozen=True)
class RelativeAttributes(AttentionAttributes):
    """Attributes of attention with relative positions.

    Args:
        grid_size: patches along one side of the image.
        max_distance: largest distance with vectors of its own; greater ones are clipped to it.
        first: 1 with a class token, 0 without.
    """

    grid_size: int = field(kw_only=True)
    max_distance: int = field(kw_only=True)
    first: int = field(kw_only=True)


def weights_bytes(attrs: SoftmaxAttributes, tokens: int) -> int:
    """Return the bytes of four rows of scores and of their softmax weights, for one head.

    A score takes one byte and a weight two: 12 bytes per token, padded to whole quads. Forms other
    than the table, and normalisation, need two more bytes per token as working memory.
    """
    plain = attrs.softmax == "table" and not attrs.normalized
    return (12 if plain else 14) * QUAD * quads(tokens)


def attention_work(attrs: AttentionAttributes, tokens: int, width: int, *, packed: bool) -> Work:
    """Return the work of attention.

    Args:
        attrs: attributes of the node.
        tokens: number of tokens N.
        width: columns of the output, heads * head_dim.
        packed: whether keys and values are already in the layout of weights.
    """
    size, scores = tokens * width, attrs.num_heads * tokens**2
    pack = 0 if packed else 2 * size
    return Work(products=2 * tokens * size, scores=scores, outputs=size, packed_bytes=pack)


def split_heads(x: Array, num_heads: int) -> Array:
    """Reshape (B, N, H * d) to (B, H, N, d)."""
    batch, tokens, dim = x.shape
    return x.reshape(batch, tokens, num_heads, dim // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: Array) -> Array:
    """Reshape (B, H, N, d) to (B, N, H * d)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


AttrsT = TypeVar("AttrsT", bound=AttentionAttributes)


class AttentionOperator(Operator[AttrsT]):
    """``softmax(q k^T / sqrt(head_dim)) v`` per head; inputs q, k, v (tokens, heads * head_dim).

    The base of attention with and without relative positions.
    """

    family: ClassVar[str] = "attention"
    in_place: ClassVar[tuple[int, ...]] = (0,)
    symmetric_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def output_type(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def touches(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield, head by head and tile by tile: read the queries, then write their outputs.

        The output takes over the queries: a head's outputs of a tile cover exactly the queries that
        this step alone reads. Keys and values are read whole in every step.
        """
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        tokens, width = inputs[0].shape
        keys_and_values = tuple(whole(index, inputs[index]) for index in (1, 2))
        head_dim = width // node.attrs.num_heads
        for head in range(0, width, head_dim):
            for first, stop in panels(tokens, TILE):
                starts = [t * width + head for t in range(first, stop)]
                queries = tuple(Span(0, start, start + head_dim) for start in starts)
                outputs = tuple(Span(OUTPUT, start, start + head_dim) for start in starts)
                yield Touch((*queries, *keys_and_values), outputs)

    def relative(self, node: Node[AttrsT], tables: Mapping[str, Array], kind: str) -> Array | None:
        """Return the vectors that pairs of tokens add to keys or values, or None without any.

        Args:
            node: the attention node.
            tables: float or int8 arrays by the names in :data:`TABLES`.
            kind: ``key`` or ``value``.

        Returns:
            An array (N, N, head_dim), by query and key.
        """
        return None

    def _float_scores(self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]) -> Array:
        """Return the scaled scores (B, heads, N, N) of each query with each key."""
        q, k = (split_heads(x, node.attrs.num_heads) for x in inputs[:2])
        scores = q @ k.transpose(0, 1, 3, 2)
        added = self.relative(node, params, "key")
        if added is not None:
            scores = scores + np.einsum("bhid,ijd->bhij", q, added, optimize=True)
        result: Array = scores * np.float32(q.shape[-1] ** -0.5)
        return result

    def run_float(self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]) -> Array:
        scores = self._float_scores(node, params, inputs)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        out = weights @ split_heads(inputs[2], node.attrs.num_heads)
        added = self.relative(node, params, "value")
        if added is not None:
            out = out + np.einsum("bhij,ijd->bhid", weights, added, optimize=True)
        return merge_heads(out)

    def internals(
        self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        return {scores_name(node): self._float_scores(node, params, inputs)}

    def lower(self, node: Node[AttrsT], params: Params, context: LoweringContext) -> Lowered:
        q, k, v = (context.of(name) for name in node.inputs)
        target, scores = context.of(node.output), context.of(scores_name(node))
        tokens, width = context.inputs[0].shape
        if tokens > MAX_TOKENS:
            raise LoweringError(
                "too many tokens for a 32-bit accumulator",
                where=node.name,
                got=tokens,
                expected=f"at most {MAX_TOKENS}, class token included",
            )
        head_dim = width // node.attrs.num_heads
        ratio = q.scale * k.scale / (np.sqrt(head_dim) * scores.scale)
        # y = (v.scale / y.scale) sum(w v) / sum(w). The kernel divides once per row: the multiplier
        # of a row is numerator / sum(w), with the 32 fraction bits of every requantisation. It must
        # stay below 2^31. Unnormalised, sum(w) >= 32767, the weight of the largest score, or half
        # of it, and 2^45 / 32767 < 2^31; normalised, sum(w) counts as 127, and 2^37 / 127 < 2^31.
        numerator = round(v.scale / target.scale * 2**32)
        limit = 2**37 if node.attrs.normalized else 2**45 >> dropped_bits(tokens)
        if numerator >= limit:
            raise LoweringError("output scale too fine for the values", where=node.name)
        arrays, exponent = lower_softmax(node.attrs, scores.scale, tokens, node.name)
        scalars = {
            "score_multiplier": int(multiplier(ratio, scores_name(node))[0]),
            "value_numerator": numerator,
            "zero_point": target.zero_point,
            "exponent": exponent,
        }
        return Lowered(arrays, scalars)

    def run_integer(self, node: Node[AttrsT], lowered: Lowered, inputs: Sequence[Array]) -> Array:
        q, k, v = (split_heads(x, node.attrs.num_heads) for x in inputs)
        dots = integer_matmul(q, k.transpose(0, 1, 3, 2))
        added = self.relative(node, lowered.arrays, "key")
        if added is not None:
            dots = dots + _integer_einsum("bhid,ijd->bhij", q, added)
        scores = requantize(dots, lowered.scalars["score_multiplier"], 0)
        exponent = lowered.scalars["exponent"]
        weights, total = softmax_weights(node.attrs, scores, lowered.arrays, exponent)
        factor = (lowered.scalars["value_numerator"] + total // 2) // total
        sums = integer_matmul(weights, v)
        added = self.relative(node, lowered.arrays, "value")
        if added is not None:
            sums = sums + _integer_einsum("bhij,ijd->bhid", weights, added)
        return merge_heads(requantize(sums, factor, lowered.scalars["zero_point"]))

    def fields(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        (tokens, width), heads = inputs[0].shape, node.attrs.num_heads
        return (
            *int32(num_heads=heads, head_dim=width // heads),
            Scalar("score_multiplier", "int32_t", scalars["score_multiplier"]),
            Scalar("zero_point", "int32_t", scalars["zero_point"]),
            Scalar("value_numerator", "uint64_t", scalars["value_numerator"]),
            Nested("softmax", softmax_fields(node.attrs, scalars["exponent"], tokens)),
        )

    def call_arguments(
        self, node: Node[AttrsT], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return *buffers.inputs, buffers.output, buffers.scratch, str(types[0].shape[0])


class Attention(AttentionOperator[AttentionAttributes]):
    """Attention by tiles of four queries, with keys and values packed like weights."""

    kernel: ClassVar[str] = "oplib_attention_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_rows_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_scores_s8",
        "oplib_tile_softmax_s8",
    )
    streamable: ClassVar[bool] = True

    def array_specs(
        self, node: Node[AttentionAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return softmax_specs(node.attrs)

    def work(
        self, node: Node[AttentionAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        tokens, width = tensors[node.output].shape
        constants = sum(spec.num_bytes for spec in softmax_specs(node.attrs))
        return attention_work(node.attrs, tokens, width, packed=inside) + Work(bytes_read=constants)

    def scratch_parts(
        self, node: Node[AttentionAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        tokens, width = inputs[0].shape
        head_dim = width // node.attrs.num_heads
        return {
            "keys": even(tokens) * QUAD * quads(head_dim),
            "values": even(head_dim) * QUAD * quads(tokens),
            "queries": tile_bytes(head_dim),
            "weights": weights_bytes(node.attrs, tokens),
        }


class AttentionRelative(AttentionOperator[RelativeAttributes]):
    """Attention with AutoFormer's two-dimensional relative positions in keys and values.

    ``softmax(q (k + r_k)^T / sqrt(head_dim)) (v + r_v)``, where r of a pair of tokens is the sum of
    a vector for their row distance and one for their column distance; every table is
    (2 * max_distance + 2, head_dim) (AutoFormer, Chen et al., 2021).
    """

    kernel: ClassVar[str] = "oplib_attention_relative_s8"
    helpers: ClassVar[tuple[str, ...]] = ("oplib_softmax_s8",)

    def array_specs(
        self, node: Node[RelativeAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        shape = (self._rows(node), inputs[0].shape[-1] // node.attrs.num_heads)
        return (*softmax_specs(node.attrs), *(ArraySpec(name, "int8", shape) for name in TABLES))

    def _rows(self, node: Node[RelativeAttributes]) -> int:
        return 2 * node.attrs.max_distance + 2

    def work(
        self, node: Node[RelativeAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        tokens, width = tensors[node.output].shape
        constants = sum(
            spec.num_bytes for spec in self.array_specs(node, (tensors[node.inputs[0]],))
        )
        return attention_work(node.attrs, tokens, width, packed=False) + Work(bytes_read=constants)

    def scratch_parts(
        self, node: Node[RelativeAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        return {"weights": 8 * node.attrs.grid_size + 3 * inputs[0].shape[0]}

    def relative(
        self, node: Node[RelativeAttributes], tables: Mapping[str, Array], kind: str
    ) -> Array | None:
        rows, cols = pair_rows(node.attrs.grid_size, node.attrs.max_distance, node.attrs.first)
        by_row, by_col = tables[f"{kind}_rows"], tables[f"{kind}_columns"]
        if by_row.dtype == np.int8:
            by_row, by_col = by_row.astype(np.int64), by_col.astype(np.int64)
        result: Array = by_row[rows] + by_col[cols]
        return result

    def internals(
        self, node: Node[RelativeAttributes], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        keys = np.concatenate([params["key_rows"], params["key_columns"]])
        values = np.concatenate([params["value_rows"], params["value_columns"]])
        scores = super().internals(node, params, inputs)
        # Tables are quantised at the scales of keys and values, whose ranges must hold them.
        return {**scores, node.inputs[1]: keys, node.inputs[2]: values}

    def lower(
        self, node: Node[RelativeAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        lowered = super().lower(node, params, context)
        for name in TABLES:
            source = context.of(node.inputs[1 if name.startswith("key") else 2])
            codes = np.rint(params[name].astype(np.float64) / source.scale)
            lowered.arrays[name] = np.clip(codes, -INT8_MAX, INT8_MAX).astype(np.int8)
        return lowered

    def fields(
        self,
        node: Node[RelativeAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        return (
            *int32(grid_size=node.attrs.grid_size, max_distance=node.attrs.max_distance),
            *(ArrayRef(name, name) for name in TABLES),
            Nested("attention", super().fields(node, inputs, scalars)),
        )


def pair_rows(grid_size: int, max_distance: int, first: int) -> tuple[Array, Array]:
    """Return the table rows of every pair of tokens, by row and by column distance, each (N, N).

    Args:
        grid_size: patches along one side of the image.
        max_distance: largest distance with a table row of its own.
        first: 1 with a class token, whose pairs take row 0; 0 without.
    """
    patches = np.arange(grid_size**2)
    table_rows = []
    for coordinate in (patches // grid_size, patches % grid_size):
        distance = np.clip(coordinate[None] - coordinate[:, None], -max_distance, max_distance)
        table_rows.append(np.pad(distance + max_distance + 1, ((first, 0), (first, 0))))
    return table_rows[0], table_rows[1]


def _integer_einsum(equation: str, x: Array, added: Array) -> Array:
    """Sum products of integers exactly: float64 holds every partial sum below 2^53."""
    exact = np.einsum(equation, x.astype(np.float64), added.astype(np.float64), optimize=True)
    result: Array = np.rint(exact).astype(np.int64)
    return result
