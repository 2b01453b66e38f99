"""Packed weights by hand (SPEC.md, "Tiles and packed weights")."""

from __future__ import annotations

import numpy as np

from oplib.ops.packing import (
    pack_requant,
    pack_weight,
    panel_bytes,
    panel_sizes,
    panels,
    tile_bytes,
)


def test_two_channels_of_a_quad() -> None:
    """``c0k0 c1k0 c0k2 c1k2 c0k1 c1k1 c0k3 c1k3``: features 0 and 2 share a word."""
    weight = np.array([[0, 1, 2, 3], [10, 11, 12, 13]], np.int8)
    assert pack_weight(weight).ravel().tolist() == [0, 10, 2, 12, 1, 11, 3, 13]


def test_odd_channels_and_features_are_padded_with_zeros() -> None:
    weight = np.arange(1, 16, dtype=np.int8).reshape(3, 5)
    packed = pack_weight(weight)
    assert packed.shape == (4, 8)
    values = packed.ravel()
    assert sorted(values[values != 0]) == list(range(1, 16))
    assert packed.reshape(2, 2, 4, 2)[1, :, :, 1].tolist() == [[0] * 4] * 2  # channel 3
    assert packed.reshape(2, 2, 4, 2)[0, 1].tolist() == [[5, 10], [0, 0], [0, 0], [0, 0]]


def test_biases_and_multipliers_in_pairs() -> None:
    packed = pack_requant(np.array([1, 2, 3]), np.array([7, 8, 9]))
    assert packed.tolist() == [[1, 2, 7, 8], [3, 0, 9, 0]]


def test_a_tile_is_four_rows_of_int16() -> None:
    assert [tile_bytes(features) for features in (1, 4, 5, 192)] == [32, 32, 64, 4 * 192 * 2]


def test_panels_in_both_directions() -> None:
    assert panels(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert panels(18, 8, backward=True) == [(16, 18), (8, 16), (0, 8)]
    assert panel_bytes(10, 5) == 3 * tile_bytes(5)


def test_a_panel_is_the_least_for_its_passes() -> None:
    """25 tokens are seven tiles: 1, 2, 3, 4 or 7 at a time make 7, 4, 3, 2 or 1 passes."""
    assert panel_sizes(25) == (4, 8, 12, 16, 28)
    assert panel_sizes(4) == panel_sizes(1) == (4,)
