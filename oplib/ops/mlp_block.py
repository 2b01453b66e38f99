"""A block's MLP as one call, streamed over tiles of tokens with the residual in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.base import OUTPUT, Buffers, Field, Operator, Touch, rows_of
from oplib.ops.linear import tiles
from oplib.ops.packing import tile_bytes


class MlpBlock(Operator):
    """``x + fc2(gelu(fc1(norm(x))))`` in place.

    Parts: norm, [factor], fc1, gelu, [factor], fc2, add.

    Attributes of the node: ``hidden`` features, and the ranks ``fc1_rank`` and ``fc2_rank``, 0
    where the layer is dense.
    """

    kernel: ClassVar[str] = "oplib_mlp_block_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_layer_norm_s8",
        "oplib_tile_linear_tile_s8",
        "oplib_tile_linear_add_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def _front_bytes(self, node: Node, inputs: Sequence[TensorType]) -> int:
        """Return the bytes before the hidden features: what leads to them, then what follows."""
        before = tile_bytes(inputs[0].shape[1]) + tile_bytes(node.int_attr("fc1_rank"))
        return max(before, tile_bytes(node.int_attr("fc2_rank")))

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        hidden = tile_bytes(node.int_attr("hidden"))
        return {"tile": self._front_bytes(node, inputs), "hidden": hidden}

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        for first, stop in tiles(output.shape[0]):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        factored = {name: node.int_attr(f"{name}_rank") > 0 for name in ("fc1", "fc2")}
        fc1 = 1 + factored["fc1"]
        fc2 = fc1 + 2 + factored["fc2"]
        return (
            Field("norm", "part", 0),
            Field("fc1_factor", "part", 1 if factored["fc1"] else None),
            Field("fc1", "part", fc1),
            Field("fc2_factor", "part", fc2 - 1 if factored["fc2"] else None),
            Field("fc2", "part", fc2),
            Field("add", "part", fc2 + 1),
            Field("hidden_offset", "int32_t", self._front_bytes(node, inputs)),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.output, buffers.scratch, str(types[0].shape[0])
