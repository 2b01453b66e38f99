"""A block's attention as one call, by heads and panels of tokens, with the residual in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import ClassVar

from oplib.graph import ITEM_BYTES, Node, TensorType
from oplib.ops.attention import AttentionAttributes
from oplib.ops.attention_relative import AttentionRelative, RelativeAttributes
from oplib.ops.base import (
    OUTPUT,
    Buffers,
    Field,
    PartRef,
    Tensors,
    Touch,
    align,
    int32,
    rows_of,
    whole,
)
from oplib.ops.fused import BlockOperator, factor_rank, part_fields
from oplib.ops.packing import QUAD, TILE, num_panels, panel_bytes, panel_sizes, panels, quads


@dataclass(frozen=True)
class AttentionBlockAttributes(AttentionAttributes):
    """Attributes of a block's attention.

    Args:
        head_dim: width of a head; a multiple of four.
        group: number of heads computed at a time.
        qkv_rank: rank of q, k and v; 0 where they are dense.
        proj_rank: rank of the projection; 0 where it is dense.
        read_panel: tokens per pass over the weights of keys, values and earlier queries.
        panel: tokens per pass over the weights of the last group's queries and the projection.
    """

    head_dim: int = field(kw_only=True)
    group: int = field(kw_only=True)
    qkv_rank: int = 0
    proj_rank: int = 0
    read_panel: int = TILE
    panel: int = TILE

    @property
    def groups(self) -> int:
        """Number of groups of heads, which run one after the other."""
        return -(-self.num_heads // self.group)


@dataclass(frozen=True)
class RelativeBlockAttributes(AttentionBlockAttributes, RelativeAttributes):
    """Attributes of a block's attention with relative positions."""


class AttentionBlock(BlockOperator[AttentionBlockAttributes]):
    """``x + proj(attention(norm(x)))`` in place, ``group`` heads at a time.

    Only one group's keys and values exist at a time, packed like weights. The outputs of all groups
    but the last wait in N rows of slots, over the queries that they replace. The last group, which
    has exactly ``group`` heads, is computed panel by panel and projected at once together with the
    slots, so that its outputs and queries need one panel alone.

    With N tokens, stream width D and Q = heads * head_dim, memory is N (D + 2 Q) bytes and a panel
    for ``group`` = heads, and N (D + head_dim + Q) and a panel for ``group`` = 1, where every group
    computes the norm (and the first factor) anew.

    Parts: ``norm``, ``qkv_factor`` where q, k and v are of low rank, ``q``, ``k``, ``v``,
    ``attention``, ``proj_factor`` where proj is of low rank, ``proj``, ``add``.

    Attributes:
        attention: operator of the attention that the kernel computes.
        attributes: type of the fused node's attributes.
    """

    kernel: ClassVar[str] = "oplib_attention_block_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_rows_s8",
        "oplib_tile_attention_tile_s8",
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
    chosen: ClassVar[tuple[str, ...]] = ("norm", "qkv_factor", "proj_factor", "add")
    attention: ClassVar[str] = "attention"
    attributes: ClassVar[type[AttentionBlockAttributes]] = AttentionBlockAttributes

    def fused_attributes(
        self, parts: Mapping[str, Node], tensors: Tensors, group: int
    ) -> AttentionBlockAttributes | None:
        attention = parts["attention"]
        attrs = attention.attributes(AttentionAttributes)
        head_dim = tensors[attention.output].shape[1] // attrs.num_heads
        if head_dim % QUAD or attention.op != self.attention:
            return None
        return self.attributes(
            **vars(attrs),
            head_dim=head_dim,
            group=min(group, attrs.num_heads),
            qkv_rank=factor_rank(parts, "qkv", tensors),
            proj_rank=factor_rank(parts, "proj", tensors),
        )

    def largest_group(self, node: Node[AttentionBlockAttributes]) -> int:
        return node.attrs.num_heads

    def repeats(self, node: Node[AttentionBlockAttributes], role: str) -> int:
        """Return how often a part runs per token.

        The norm and the first factor run once per group, and again for the last group's queries.
        """
        return node.attrs.groups + 1 if role in ("norm", "qkv_factor") else 1

    def output_type(
        self, node: Node[AttentionBlockAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        return inputs[0]

    def _outputs_offset(self, node: Node[AttentionBlockAttributes], tokens: int) -> int:
        """Return the byte offset, in the work area, of the panel that the projection reads.

        It follows the scores and softmax weights. When these are dead, the projection's low-rank
        intermediate takes their place, while the panel of outputs is still being read.
        """
        rank = panel_bytes(node.attrs.panel, node.attrs.proj_rank)
        return align(max(node.attrs.work_bytes(tokens, node.attrs.head_dim), rank))

    def scratch_parts(
        self, node: Node[AttentionBlockAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        tokens, dim = inputs[0].shape
        heads, group = node.attrs.num_heads, node.attrs.group
        head_dim = node.attrs.head_dim
        value_rows = node.attrs.value_rows(tokens)
        queries = panel_bytes(node.attrs.panel, group * head_dim)
        # The work area serves two phases in turn. Reading: the normalised panel, then the low-rank
        # intermediate of q, k and v; both are dead once the queries are computed. Attending: scores
        # and softmax weights, then the outputs of all heads (_outputs_offset). While keys and
        # values are computed, the area of the last group's queries is free as well.
        reading = self._reading_bytes(node, dim, node.attrs.panel)
        outputs = panel_bytes(node.attrs.panel, heads * head_dim)
        attending = self._outputs_offset(node, tokens) + outputs
        earlier = self._reading_bytes(node, dim, node.attrs.read_panel) - queries
        return {
            "keys": group * head_dim * QUAD * quads(tokens),
            "values": group * head_dim * QUAD * quads(value_rows),
            "vectors": node.attrs.vectors_bytes(head_dim),
            "slots": tokens * (heads - group) * head_dim,
            "queries": queries,
            "work": max(reading, attending, earlier),
        }

    def _reading_bytes(self, node: Node[AttentionBlockAttributes], dim: int, panel: int) -> int:
        """Return the bytes of a panel of normalised tokens and of the factor of q, k and v."""
        return panel_bytes(panel, dim) + panel_bytes(panel, node.attrs.qkv_rank)

    def panel_sizes(
        self, node: Node[AttentionBlockAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return panel_sizes(inputs[0].shape[0])

    def with_panel(
        self, node: Node[AttentionBlockAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[AttentionBlockAttributes]:
        """Return the node with a panel, and the largest read panel that needs no more memory."""

        def sized(read_panel: int) -> Node[AttentionBlockAttributes]:
            attrs = replace(node.attrs, panel=panel, read_panel=read_panel)
            return replace(node, attrs=attrs)

        room = self.scratch_bytes(sized(TILE), inputs)
        fitting = [
            wider
            for size in panel_sizes(inputs[0].shape[0])
            if self.scratch_bytes(wider := sized(size), inputs) <= room
        ]
        return fitting[-1]

    def settings(self, node: Node[AttentionBlockAttributes]) -> Mapping[str, int]:
        names = ("group", "read_panel", "panel")
        return {name: getattr(node.attrs, name) for name in names}

    def passes(self, node: Node[AttentionBlockAttributes], role: str, tokens: int) -> Fraction:
        attrs = node.attrs
        earlier = num_panels(tokens, attrs.read_panel)
        last = num_panels(tokens, attrs.panel)
        match role:
            case "norm" | "qkv_factor":
                return Fraction(attrs.groups * earlier + last)
            case "k" | "v":
                return Fraction(earlier)
            case "q":
                share = Fraction(attrs.group, attrs.num_heads)
                return earlier * (1 - share) + last * share
            case _:
                return Fraction(last)

    def touches(
        self, node: Node[AttentionBlockAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        # Keys and values of a group need all tokens, so every group reads the whole stream before
        # anything is written. The last pass rereads a panel for its queries and its residual,
        # and writes that panel alone.
        for _ in range(node.attrs.groups):
            yield Touch((whole(0, inputs[0]),), ())
        for first, stop in panels(output.shape[0], node.attrs.panel):
            reads = (rows_of(0, inputs[0], first, stop),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self,
        node: Node[AttentionBlockAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        attrs = node.attrs
        offsets, end = {}, 0
        for name, size in self.scratch_parts(node, inputs).items():
            offsets[f"{name}_offset"] = end
            end += align(size)
        offsets["outputs_offset"] = self._outputs_offset(node, inputs[0].shape[0])
        return (
            *part_fields(node, ("norm", "qkv_factor", "q", "k", "v"), self.chosen),
            *self._attention_fields(),
            *part_fields(node, ("proj_factor", "proj", "add"), self.chosen),
            *int32(item_bytes=ITEM_BYTES[inputs[0].dtype]),
            *int32(group=attrs.group, read_panel=attrs.read_panel, panel=attrs.panel, **offsets),
        )

    def _attention_fields(self) -> tuple[PartRef, ...]:
        """Return the pointers to the structs of attention and of relative positions."""
        return PartRef("attention", "attention"), PartRef("relative", None)

    def call_arguments(
        self, node: Node[AttentionBlockAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.output, buffers.scratch, str(types[0].shape[0])


class AttentionRelativeBlock(AttentionBlock):
    """The same with relative positions, whose tables are packed like weights once per call."""

    kernel: ClassVar[str] = "oplib_attention_relative_block_s8"
    params: ClassVar[str | None] = "oplib_attention_block_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_attention_block_s8",
        "oplib_tile_linear_key_s8",
        "oplib_tile_linear_s8",
        "oplib_tile_linear_tile_s8",
        "oplib_tile_linear_value_s8",
        *AttentionRelative.helpers,
    )
    attention: ClassVar[str] = "attention_relative"
    attributes: ClassVar[type[AttentionBlockAttributes]] = RelativeBlockAttributes

    def passes(self, node: Node[AttentionBlockAttributes], role: str, tokens: int) -> Fraction:
        # The tables, nearly all of the attention's constants, are read once.
        return Fraction(1) if role == "attention" else super().passes(node, role, tokens)

    def _attention_fields(self) -> tuple[PartRef, ...]:
        owner = PartRef("relative", "attention")
        return PartRef("attention", "attention", member="attention"), owner
