"""Multi-head attention with two-dimensional relative positions, in integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from oplib.graph import Node, TensorType
from oplib.ops.attention import AttentionAttributes, AttentionOperator, attention_work
from oplib.ops.base import (
    Array,
    ArrayRef,
    ArraySpec,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Params,
    Tensors,
    int32,
)
from oplib.ops.packing import QUAD, TILE, even, quads, tile_bytes
from oplib.ops.quant import INT8_MAX
from oplib.ops.softmax import softmax_specs
from oplib.ops.work import Work

TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")
SUM_BITS = 15  # of a sum of weights, a feature of a tile


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

    @property
    def distances(self) -> int:
        """Number of distances along one axis whose vectors are used."""
        return 2 * min(self.max_distance, self.grid_size - 1) + 1

    def value_rows(self, tokens: int) -> int:
        return tokens + 2 * self.first

    def vectors_bytes(self, head_dim: int) -> int:
        keys = (2 + 2 * even(self.distances)) * QUAD * quads(head_dim)
        return keys + even(head_dim) * 2 * QUAD * quads(self.distances)

    def work_bytes(self, tokens: int, head_dim: int) -> int:
        # Scores of four queries, a row of weights and four products for each row, each column and
        # the class token; when the weights are known, four for each channel take their place.
        weights = tile_bytes(self.value_rows(tokens)) + 2 * tile_bytes(self.distances)
        before = 6 * QUAD * quads(tokens) + 16 * (2 * self.grid_size + 2)
        return weights + max(before, 16 * even(head_dim))


class AttentionRelative(AttentionOperator[RelativeAttributes]):
    """Attention with AutoFormer's two-dimensional relative positions in keys and values.

    ``softmax(q (k + r_k)^T / sqrt(head_dim)) (v + r_v)``, where r of a pair of tokens is the sum of
    a vector for their row distance and one for their column distance; every table is
    (2 * max_distance + 2, head_dim) (AutoFormer, Chen et al., 2021).
    """

    kernel: ClassVar[str] = "oplib_attention_relative_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_relative_s8",
        "oplib_tile_class_values_s8",
        "oplib_tile_pack_keys_s8",
        "oplib_tile_pack_relative_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_pack_values_s8",
        "oplib_tile_products_s32",
        "oplib_tile_relative_products_s8",
        "oplib_tile_relative_scores_s8",
        "oplib_tile_relative_weights_s8",
        "oplib_tile_softmax_s8",
    )
    streamable: ClassVar[bool] = True

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
        attrs, source = node.attrs, tensors[node.inputs[0]]
        constants = sum(spec.num_bytes for spec in self.array_specs(node, (source,)))
        # A tile of queries meets the keys' vectors of the class token and of the distances from one
        # row, and from four columns; and the values' from its first row to its last column. Each
        # weight is added up by row and by column.
        used = min(attrs.distances, attrs.grid_size)
        vectors = 2 + used + min(attrs.distances, used + TILE) + used + attrs.distances
        return attention_work(attrs, tokens, width, packed=inside) + Work(
            products=tokens * width * vectors,
            elements=attrs.num_heads * tokens**2,
            packed_bytes=attrs.vectors_bytes(width // attrs.num_heads),
            bytes_read=constants,
        )

    def scratch_parts(
        self, node: Node[RelativeAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        attrs, (tokens, width) = node.attrs, inputs[0].shape
        head_dim = width // attrs.num_heads
        return {
            "keys": even(tokens) * QUAD * quads(head_dim),
            "values": even(head_dim) * QUAD * quads(attrs.value_rows(tokens)),
            "vectors": attrs.vectors_bytes(head_dim),
            "queries": tile_bytes(head_dim),
            "weights": attrs.work_bytes(tokens, head_dim),
        }

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

    def numerator_bits(self, tokens: int) -> int:
        # Shifted weights add up to 2^14 - tokens at least, more than 2^13; others to 16383.
        return 44

    def weights(
        self, node: Node[RelativeAttributes], scores: Array, lowered: Lowered
    ) -> tuple[Array, Array]:
        return shift_weights(*super().weights(node, scores, lowered))


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


def shift_weights(weights: Array, total: Array) -> tuple[Array, Array]:
    """Return the softmax weights shifted to the right until their sum is below 2^15, and the sum.

    The sums of weights for a vector of a relative position then fit int16. The shift is that of a
    query: small only where few weights are large, so that no weight loses more than 2^-14 of the
    sum.

    Args:
        weights: int64 weights (..., N).
        total: their sums, or nominal ones (..., 1); kept where nothing is shifted.
    """
    bits = np.frexp(total)[1]  # of an integer: its length in bits
    shift = np.maximum(bits - SUM_BITS, 0)
    shifted = weights >> shift
    return shifted, np.where(shift > 0, shifted.sum(axis=-1, keepdims=True), total)
