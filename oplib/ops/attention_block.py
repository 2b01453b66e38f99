"""A block's attention as one call, streamed over heads and tiles of tokens, residual in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.attention import weights_bytes
from oplib.ops.base import OUTPUT, Buffers, Field, Operator, Touch, align, rows_of, whole
from oplib.ops.linear import tiles
from oplib.ops.packing import QUAD, quads, tile_bytes


class AttentionBlock(Operator):
    """``x + proj(attention(norm(x)))`` in place, ``group`` heads at a time.

    Keys and values of one group exist at a time, in weight layout. The outputs of all groups but
    the last wait in slots of N rows, where their queries were before; the last group, which has
    exactly ``group`` heads, is projected tile by tile. ``group`` = heads is "tokens outer": N (D +
    2 Q) and a tile; ``group`` = 1 is "heads outer": N (D + head_dim + Q) and a tile, with the norm
    (and the first factor) computed once more for every group.

    Parts: norm, [factor], q, k, v, attention, [factor], proj, add. Attributes of the node:
    ``num_heads``, ``head_dim`` (a multiple of four), ``group``, and the ranks ``qkv_rank`` and
    ``proj_rank``, 0 where the layer is dense.
    """

    kernel: ClassVar[str] = "oplib_attention_block_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_rows_s8",
        "oplib_tile_attention_tile_s8",
        "oplib_tile_layer_norm_s8",
        "oplib_tile_linear_add_s8",
        "oplib_tile_linear_key_s8",
        "oplib_tile_linear_s8",
        "oplib_tile_linear_tile_s8",
        "oplib_tile_linear_value_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_scores_s8",
        "oplib_tile_softmax_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def _outputs_offset(self, node: Node, tokens: int) -> int:
        """Return where the projection's input begins in the work area: behind what it leads to."""
        rank = tile_bytes(node.int_attr("proj_rank"))
        return align(max(weights_bytes(node, tokens), rank))

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        tokens, dim = inputs[0].shape
        heads, group = node.int_attr("num_heads"), node.int_attr("group")
        head_dim = node.int_attr("head_dim")
        packed = group * head_dim * QUAD * quads(tokens)
        reading = tile_bytes(dim) + tile_bytes(node.int_attr("qkv_rank"))
        attending = self._outputs_offset(node, tokens) + tile_bytes(heads * head_dim)
        return {
            "keys": packed,
            "values": packed,
            "slots": tokens * (heads - group) * head_dim,
            "queries": tile_bytes(group * head_dim),
            "work": max(reading, attending),
        }

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        groups = -(-node.int_attr("num_heads") // node.int_attr("group"))
        for _ in range(groups):
            yield Touch((whole(0, inputs[0]),), ())
        for first, stop in tiles(output.shape[0]):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        q = 1 + (node.int_attr("qkv_rank") > 0)
        proj = q + 4 + (node.int_attr("proj_rank") > 0)
        parts = {
            "norm": 0,
            "qkv_factor": 1 if q == 2 else None,
            "q": q,
            "k": q + 1,
            "v": q + 2,
            "attention": q + 3,
            "proj_factor": proj - 1 if proj == q + 5 else None,
            "proj": proj,
            "add": proj + 1,
        }
        offsets, at = {}, 0
        for name, size in self.scratch_parts(node, inputs).items():
            offsets[f"{name}_offset"] = at
            at += align(size)
        offsets["outputs_offset"] = self._outputs_offset(node, inputs[0].shape[0])
        return (
            *(Field(name, "part", index) for name, index in parts.items()),
            Field("group", "int32_t", node.int_attr("group")),
            *(Field(name, "int32_t", offset) for name, offset in offsets.items()),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.output, buffers.scratch, str(types[0].shape[0])
