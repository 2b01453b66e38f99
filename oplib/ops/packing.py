"""Weights as the kernels read them (SPEC.md, "Tiles and packed weights")."""

from __future__ import annotations

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
