"""A block's MLP as one call, by panels of tokens, with the residual in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from oplib.graph import ITEM_BYTES, Attributes, Node, TensorType
from oplib.ops.base import OUTPUT, Buffers, Field, Tensors, Touch, int32, rows_of
from oplib.ops.fused import BlockOperator, factor_rank, part_fields
from oplib.ops.packing import TILE, num_panels, panel_bytes, panel_sizes, panels


@dataclass(frozen=True)
class MlpAttributes(Attributes):
    """Attributes of a block's MLP.

    Args:
        hidden: number of hidden units.
        fc1_rank: rank of the first layer; 0 where it is dense.
        fc2_rank: rank of the second layer; 0 where it is dense.
        panel: tokens per pass over the weights.
    """

    hidden: int
    fc1_rank: int = 0
    fc2_rank: int = 0
    panel: int = TILE


class MlpBlock(BlockOperator[MlpAttributes]):
    """``x + fc2(activation(fc1(norm(x))))`` in place.

    Parts: ``norm``, ``fc1_factor`` where fc1 is of low rank, ``fc1``, ``activation``,
    ``fc2_factor`` where fc2 is of low rank, ``fc2``, ``add``.
    """

    kernel: ClassVar[str] = "oplib_mlp_block_s8"
    helpers: ClassVar[tuple[str, ...]] = ("oplib_tile_linear_tile_s8",)
    in_place: ClassVar[tuple[int, ...]] = (0,)
    tables: ClassVar[Mapping[str, str]] = {"fc1": "activation"}
    chosen: ClassVar[tuple[str, ...]] = ("norm", "fc1_factor", "activation", "fc2_factor", "add")

    def fused_attributes(
        self, parts: Mapping[str, Node], tensors: Tensors, group: int
    ) -> MlpAttributes | None:
        return MlpAttributes(
            hidden=tensors[parts["fc1"].output].shape[1],
            fc1_rank=factor_rank(parts, "fc1", tensors),
            fc2_rank=factor_rank(parts, "fc2", tensors),
        )

    def output_type(self, node: Node[MlpAttributes], inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def _front_bytes(self, node: Node[MlpAttributes], inputs: Sequence[TensorType]) -> int:
        """Return the bytes of the region before the hidden panel.

        It holds the normalised panel and fc1's low-rank intermediate. Both are dead once the hidden
        panel is complete; fc2's low-rank intermediate then takes their place, so the region is the
        larger of the two.
        """
        panel = node.attrs.panel
        before = panel_bytes(panel, inputs[0].shape[1]) + panel_bytes(panel, node.attrs.fc1_rank)
        return max(before, panel_bytes(panel, node.attrs.fc2_rank))

    def scratch_parts(
        self, node: Node[MlpAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        hidden = panel_bytes(node.attrs.panel, node.attrs.hidden)
        return {"panel": self._front_bytes(node, inputs), "hidden": hidden}

    def panel_sizes(
        self, node: Node[MlpAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return panel_sizes(inputs[0].shape[0])

    def with_panel(
        self, node: Node[MlpAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[MlpAttributes]:
        return replace(node, attrs=replace(node.attrs, panel=panel))

    def settings(self, node: Node[MlpAttributes]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel}

    def passes(self, node: Node[MlpAttributes], role: str, tokens: int) -> Fraction:
        return Fraction(num_panels(tokens, node.attrs.panel))

    def touches(
        self, node: Node[MlpAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        for first, stop in panels(output.shape[0], node.attrs.panel):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self, node: Node[MlpAttributes], inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        roles = ("norm", "fc1_factor", "fc1", "activation", "fc2_factor", "fc2", "add")
        return (
            *part_fields(node, roles, self.chosen),
            *int32(item_bytes=ITEM_BYTES[inputs[0].dtype]),
            *int32(panel=node.attrs.panel, hidden_offset=self._front_bytes(node, inputs)),
        )

    def call_arguments(
        self, node: Node[MlpAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.output, buffers.scratch, str(types[0].shape[0])
