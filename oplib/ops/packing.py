"""Weights as the kernels read them (SPEC.md, "Tiles and packed weights")."""

from __future__ import annotations

from functools import cache

import numpy as np

from oplib.graph import ITEM_BYTES
from oplib.ops.base import Array

QUAD = 4
TILE = 4  # tokens
QUAD_ORDER = [0, 2, 1, 3]  # features of a quad, as two words of two features each


def quads(features: int) -> int:
    """Return the number of quads, groups of four, that hold `features`."""
    return -(-features // QUAD)


def tile_bytes(features: int) -> int:
    """Return the bytes of a tile: four tokens in int16, features padded to whole quads."""
    return TILE * QUAD * ITEM_BYTES["int16"] * quads(features)


def panel_bytes(tokens: int, features: int) -> int:
    """Return the bytes of a panel, the tiles of `tokens` tokens."""
    return -(-tokens // TILE) * tile_bytes(features)


@cache
def panel_sizes(tokens: int) -> tuple[int, ...]:
    """Return the useful sizes of a panel, in tokens, from the smallest.

    They are the multiples of a tile such that no smaller one passes over the weights as few times.
    """
    most = -(-tokens // TILE)
    passes = {-(-most // tiles) for tiles in range(1, most + 1)}
    return tuple(sorted(TILE * -(-most // count) for count in passes))


def num_panels(tokens: int, panel: int) -> int:
    """Return the number of panels of `panel` tokens: how often all weights are read."""
    return -(-tokens // panel)


def panels(tokens: int, panel: int, *, backward: bool = False) -> list[tuple[int, int]]:
    """Return the token range [first, stop) of each panel, in the order of work."""
    ranges = [(first, min(first + panel, tokens)) for first in range(0, tokens, panel)]
    return ranges[::-1] if backward else ranges


def even(channels: int) -> int:
    """Return the number of channels, padded to an even number."""
    return channels + channels % 2


def pack_weight(weight: Array) -> Array:
    """Return int8 weights (out, in) as packed bytes (even(out), 4 * quads(in)).

    Channels are packed in pairs; a quad of both is ``c0k0 c1k0 c0k2 c1k2 c0k1 c1k1 c0k3 c1k3``.
    """
    out, features = weight.shape
    padded = np.zeros((even(out), QUAD * quads(features)), np.int8)
    padded[:out, :features] = weight
    groups = padded.reshape(even(out) // 2, 2, quads(features), QUAD)[..., QUAD_ORDER]
    return np.ascontiguousarray(groups.transpose(0, 2, 3, 1)).reshape(padded.shape)


def pack_requant(bias: Array, multiplier: Array) -> Array:
    """Return biases and multipliers (out,) as int32 (even(out) / 2, 4): two of each per pair."""
    padded = np.zeros((2, even(len(bias))), np.int32)
    padded[0, : len(bias)], padded[1, : len(bias)] = bias, multiplier
    return np.ascontiguousarray(padded.reshape(2, -1, 2).transpose(1, 0, 2)).reshape(-1, 4)
