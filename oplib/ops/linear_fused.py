"""Linear layers with another operator in their epilogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.base import OUTPUT, Buffers, Field, Touch, rows_of
from oplib.ops.fused import FusedOperator, part_fields
from oplib.ops.linear import Linear, LinearAttributes, linear_arguments
from oplib.ops.packing import panel_bytes, panel_sizes, panels


class LinearTable(FusedOperator[LinearAttributes], Linear):
    """A linear layer with an elementwise table in its epilogue; parts: ``linear``, ``table``."""

    tables: ClassVar[Mapping[str, str]] = {"linear": "table"}
    struct_of: ClassVar[str | None] = "linear"
    packs: ClassVar[tuple[str, ...]] = ("linear",)

    def passes(self, node: Node[LinearAttributes], role: str, tokens: int) -> Fraction:
        return Fraction(node.attrs.passes(tokens))


class LinearAdd(FusedOperator[LinearAttributes]):
    """A linear layer with the residual addition in its epilogue; parts: ``linear``, ``add``.

    The inputs are the layer's input and the residual stream, which the output overwrites.
    """

    kernel: ClassVar[str] = "oplib_linear_add_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_linear_add_s8",
    )
    in_place: ClassVar[tuple[int, ...]] = (1,)
    packs: ClassVar[tuple[str, ...]] = ("linear",)

    def output_type(self, node: Node[LinearAttributes], inputs: Sequence[TensorType]) -> TensorType:
        return inputs[1]

    def scratch_parts(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        return {"panel": panel_bytes(node.attrs.panel, inputs[0].shape[-1])}

    def panel_sizes(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return panel_sizes(inputs[0].shape[0])

    def with_panel(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[LinearAttributes]:
        return replace(node, attrs=replace(node.attrs, panel=panel))

    def settings(self, node: Node[LinearAttributes]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel}

    def passes(self, node: Node[LinearAttributes], role: str, tokens: int) -> Fraction:
        return Fraction(node.attrs.passes(tokens))

    def touches(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        for first, stop in panels(output.shape[0], node.attrs.panel):
            reads = tuple(
                rows_of(index, source, first, stop) for index, source in enumerate(inputs)
            )
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),))

    def fields(
        self,
        node: Node[LinearAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        return part_fields(node, ("linear", "add"))

    def call_arguments(
        self, node: Node[LinearAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return linear_arguments(node, buffers, types)
