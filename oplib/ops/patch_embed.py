"""Patch embedding of raw pixels, whole patches at a time, apart from the image or over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.base import (
    ALIGNMENT,
    OUTPUT,
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    Span,
    Touch,
    align,
    int32,
    rows_of,
)
from oplib.ops.embed_tokens import position_specs
from oplib.ops.linear import linear_specs, pack_linear
from oplib.ops.packing import QUAD, TILE, panel_bytes
from oplib.ops.patch_operator import PassesAttributes, PatchAttributes, PatchOperator


class PatchEmbed(PatchOperator[PatchAttributes]):
    """The patch embedding by panels of whole patches."""

    kernel: ClassVar[str] = "oplib_patch_embed_s8"
    params: ClassVar[str | None] = "oplib_patch_embed_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_embed_s8",
        "oplib_tile_pack_patches_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )

    def array_specs(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return (
            *linear_specs(self._in_features(node, inputs), node.attrs.out_features),
            *position_specs(node.attrs, self.output_type(node, inputs).shape[0], self.dtype),
        )

    def flash_arrays(self, node: Node[PatchAttributes], lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def direct(self, node: Node[PatchAttributes], inputs: Sequence[TensorType]) -> bool:
        """Return whether all patches are inside the image and their rows are whole words."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        covered = node.attrs.grid_size * node.attrs.patch_size
        inside = node.attrs.pad_before == 0 and covered <= size
        return inside and node.attrs.patch_size * chans % QUAD == 0

    def scratch_parts(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        if node.overwrites is not None:
            return {}
        features = self._in_features(node, inputs)
        windows = {} if self.direct(node, inputs) else {"windows": 4 * features}
        return {"panel": panel_bytes(node.attrs.panel, features), **windows}

    def _steps(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> Iterator[tuple[int, int, bool]]:
        """Yield the token range [first, stop) of each step, and whether the step uses tiles."""
        token, tokens = 0, node.attrs.patches
        while token < tokens:
            tiled = token >= node.attrs.tile_from
            stop = self._stop(node, inputs, token) if tiled else min(token + 2, tokens)
            yield token, stop, tiled
            token = stop

    def _stop(self, node: Node[PatchAttributes], inputs: Sequence[TensorType], token: int) -> int:
        """Return the end of the panel that begins with a token.

        It is the last that leaves the panel inside the image and above the tokens written by then.
        One tile always fits.
        """
        tokens = node.attrs.patches
        for most in range(node.attrs.panel, TILE, -TILE):
            stop = min(token + most, tokens)
            written = self._written(node, stop) - node.below
            if self._room(node, inputs, token, stop).start >= max(0, written):
                return stop
        return min(token + TILE, tokens)

    def _written(self, node: Node[PatchAttributes], stop: int) -> int:
        """Return the bytes of the class token, if there is one, and of the tokens before `stop`."""
        return (node.attrs.first + stop) * node.attrs.out_features

    def _corner(self, node: Node[PatchAttributes], inputs: Sequence[TensorType], token: int) -> int:
        """Return the byte of a patch's first pixel: no image byte before it is read again."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        row, column = divmod(token, node.attrs.grid_size)
        return (row * size + column) * node.attrs.patch_size * chans

    def _room(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType], token: int, stop: int
    ) -> Span:
        """Return the bytes of a step's panel: directly below the strip that the step begins in.

        They belong to earlier strips, which are dead. The kernel computes the same address.
        """
        size = panel_bytes(stop - token, self._in_features(node, inputs))
        first = token - token % node.attrs.grid_size
        start = (self._corner(node, inputs, first) - size) // ALIGNMENT * ALIGNMENT
        return Span(0, start, start + size)

    def bytes_below(self, node: Node[PatchAttributes], inputs: Sequence[TensorType]) -> int | None:
        """Return how many bytes below the image the tokens must begin to overwrite it safely.

        That is in steps of one tile: wider panels take only what room there is. None if no distance
        is enough, because some tile would begin below the image.
        """
        # In bytes of the image, the tokens written before `stop` end at written - below. That must
        # not pass the first byte still in use while they are written, for every step: the tile,
        # which is packed first and then read, or the first pixel of a pair, read in place.
        needed = 0
        for token, stop, tiled in self._steps(node, inputs):
            room = self._room(node, inputs, token, stop)
            in_use = room.start if tiled else self._corner(node, inputs, token)
            if tiled and room.start < 0:
                return None
            needed = max(needed, self._written(node, stop) - in_use)
        return align(needed)

    def touches(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield all at once, or token by token where the tokens overwrite the image.

        A tiled step packs its patches first, which ends their use, and then writes tokens while it
        reads the tile. A pair is read from the image while its tokens are written.
        """
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        length, rows = node.attrs.patch_size * chans, range(node.attrs.patch_size)
        first = node.attrs.first
        if first:
            yield Touch((), (rows_of(OUTPUT, output, 0, first),))
        for token, stop, tiled in self._steps(node, inputs):
            corners = [self._corner(node, inputs, t) for t in range(token, stop)]
            starts = [corner + row * size * chans for corner in corners for row in rows]
            reads = tuple(Span(0, start, start + length) for start in starts)
            writes = (rows_of(OUTPUT, output, first + token, first + stop),)
            room = (self._room(node, inputs, token, stop),) if tiled else ()
            if tiled:
                yield Touch(reads, (), room=room)
                yield Touch((), writes, room=room)
            else:
                yield Touch(reads, writes, settled=False)

    def _placement(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> tuple[Field, ...]:
        return int32(
            direct=int(self.direct(node, inputs)),
            tile_from=node.attrs.tile_from,
            panel=node.attrs.panel,
        )

    def in_passes(self, node: Node[PatchAttributes], kernel: int) -> Node[PatchAttributes]:
        self._checked(node, kernel)
        attrs = PassesAttributes(**vars(node.attrs), kernel=kernel)
        return replace(node, op="patch_embed_passes", attrs=attrs)

    def in_strips(self, node: Node[PatchAttributes]) -> Node[PatchAttributes] | None:
        return replace(node, op="patch_embed_strips")

    def over_image(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> Node[PatchAttributes] | None:
        """Return the node that begins the least below its image, with the earliest tile.

        Tokens overwrite the image where all patches are inside it and their rows are whole words;
        otherwise the result is None.
        """
        if not self.direct(node, inputs):
            return None
        choices = []
        # A tile takes 8 bytes per input of a patch and needs that many dead bytes of the image; a
        # strip holds grid_size or more. So pairs must come first: two strips of them where
        # grid_size >= 4, and below that the whole image, which is at most three strips. A third is
        # tried as well, because a later first tile may begin less below the image.
        for tile_from in range(0, min(3 * node.attrs.grid_size, node.attrs.patches) + 2, 2):
            attrs = replace(node.attrs, tile_from=tile_from)
            placed = replace(node, op="patch_embed_in_place", attrs=attrs, overwrites=0)
            below = self.bytes_below(placed, inputs)
            if below is not None:
                choices.append((below, tile_from, replace(placed, below=below)))
        return min(choices, key=lambda choice: choice[:2])[2]


class PatchEmbedInPlace(PatchEmbed):
    """The patch embedding whose tokens overwrite the image, strip by strip."""

    kernel: ClassVar[str] = "oplib_patch_embed_in_place_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_embed_s8",
        "oplib_tile_pack_patches_s8",
        "oplib_tile_pack_rows_s8",
    )

    def panel_sizes(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return (TILE * -(-node.attrs.patches // TILE),)  # at most; it takes no memory of its own

    def _passes(self, node: Node[PatchAttributes], image: TensorType) -> int:
        return len(list(self._steps(node, (image,))))

    def call_arguments(
        self, node: Node[PatchAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output
