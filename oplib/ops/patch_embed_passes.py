"""Patch embedding in passes (MCUFormer, section 3.2), and of images supplied in strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import numpy as np

from oplib.graph import DType, Node, TensorType
from oplib.ops.base import (
    SUPPLIED_ROWS,
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    Nested,
    int32,
)
from oplib.ops.embed_tokens import position_field, position_specs
from oplib.ops.linear import linear_specs, pack_linear
from oplib.ops.packing import even, num_panels, pack_weight, panel_bytes, panel_sizes
from oplib.ops.patch_embed import PatchEmbed
from oplib.ops.patch_operator import PassesAttributes, PatchAttributes, PatchOperator


class PatchEmbedPasses(PatchOperator[PassesAttributes]):
    """The patch embedding in passes of ``kernel`` x ``kernel`` pixels, summed in 32 bits.

    Every integer equals that of the whole patch embedding (MCUFormer, section 3.2, patch embedding
    decomposition). In flash the matrices (out, kernel^2 * C) of the passes follow one another.
    """

    kernel: ClassVar[str] = "oplib_patch_embed_passes_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )

    def _pass_features(self, node: Node[PassesAttributes], inputs: Sequence[TensorType]) -> int:
        """Return the number of inputs of one pass."""
        return node.attrs.kernel**2 * inputs[0].shape[-1]

    def array_specs(
        self, node: Node[PassesAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        features = self._pass_features(node, inputs)
        weight, requant = linear_specs(features, node.attrs.out_features)
        whole = ArraySpec("weight", "int8", (node.attrs.passes, *weight.shape))
        tokens = self.output_type(node, inputs).shape[0]
        return (whole, requant, *position_specs(node.attrs, tokens, self.dtype))

    def flash_arrays(self, node: Node[PassesAttributes], lowered: Lowered) -> Mapping[str, Array]:
        weight = lowered.arrays["weight"]
        side = node.attrs.kernel
        count = node.attrs.patch_size // side
        parts = weight.reshape(len(weight), count, side, count, side, -1)
        by_pass = parts.transpose(1, 3, 0, 2, 4, 5)  # o, u, y, v, x, c -> u, v, o, y, x, c
        matrices = by_pass.reshape(count**2, len(weight), -1)
        packed = np.stack([pack_weight(matrix) for matrix in matrices])
        return {**pack_linear(lowered.arrays), "weight": packed}

    def scratch_parts(
        self, node: Node[PassesAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        features = self._pass_features(node, inputs)
        panel = node.attrs.panel
        sums = 4 * panel * even(node.attrs.out_features)
        tiles = panel_bytes(panel, features)
        return {"sums": sums, "panel": tiles, "windows": 4 * features}

    def _geometry(
        self, node: Node[PassesAttributes], inputs: Sequence[TensorType]
    ) -> tuple[Field, ...]:
        return (
            *super()._geometry(node, inputs),
            *int32(kernel=node.attrs.kernel, panel=node.attrs.panel),
        )

    def fields(
        self, node: Node[PassesAttributes], inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        position = position_field(node.attrs)
        members = super().fields(node, inputs, scalars)
        return Nested("passes", tuple(m for m in members if m != position)), position

    def in_passes(self, node: Node[PassesAttributes], kernel: int) -> Node[PassesAttributes]:
        self._checked(node, kernel)
        return replace(node, attrs=replace(node.attrs, kernel=kernel))

    def in_strips(self, node: Node[PassesAttributes]) -> Node[PassesAttributes] | None:
        return replace(node, op="patch_embed_passes_strips")


class PatchEmbedPassesS16(PatchEmbedPasses):
    """The patch embedding in passes, into an int16 residual stream."""

    kernel: ClassVar[str] = "oplib_patch_embed_passes_s16"
    dtype: ClassVar[DType] = "int16"

    def in_strips(self, node: Node[PassesAttributes]) -> Node[PassesAttributes] | None:
        return None

    def call_arguments(
        self, node: Node[PassesAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, buffers.scratch


AttrsT = TypeVar("AttrsT", bound=PatchAttributes)


class Strips(PatchOperator[AttrsT]):
    """The base of kernels whose image the application supplies, a strip of patches at a time."""

    fetches_image: ClassVar[bool] = True

    def scratch_parts(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> Mapping[str, int]:
        row_bytes = inputs[0].shape[1] * inputs[0].shape[2]
        strip = node.attrs.patch_size * row_bytes
        return {"strip": strip, **super().scratch_parts(node, inputs)}

    def panel_sizes(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> tuple[int, ...]:
        return panel_sizes(node.attrs.grid_size)

    def _passes(self, node: Node[AttrsT], image: TensorType) -> int:
        return node.attrs.grid_size * num_panels(node.attrs.grid_size, node.attrs.panel)

    def call_arguments(
        self, node: Node[AttrsT], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return SUPPLIED_ROWS, buffers.output, buffers.scratch


class PatchEmbedStrips(Strips[PatchAttributes], PatchEmbed):
    """The whole patch embedding of an image supplied in strips."""

    kernel: ClassVar[str] = "oplib_patch_embed_strips_s8"
    params: ClassVar[str | None] = "oplib_patch_embed_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_patch_embed_s8",
        "oplib_tile_embed_s8",
        "oplib_tile_pack_patches_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )


class PatchEmbedPassesStrips(Strips[PassesAttributes], PatchEmbedPasses):
    """The patch embedding in passes of an image supplied in strips."""

    kernel: ClassVar[str] = "oplib_patch_embed_passes_strips_s8"
    params: ClassVar[str | None] = "oplib_patch_embed_passes_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_patch_embed_passes_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )
