"""The picture made of numbers; that C computes the same, every network's self-test shows."""

from __future__ import annotations

from oplib.codegen.selftest_c import BuiltInImages, pattern_image


def test_the_pattern_by_hand(small_network) -> None:
    """x = (i + 1) * 2654435761 mod 2^32; (x ^ (x >> 16)) mod 17, for 17 levels of grey."""
    pattern = pattern_image(small_network.integer)
    assert pattern.shape == (8, 8, 1)
    words = [2654435761 * (i + 1) % 2**32 for i in range(64)]
    assert pattern.ravel().tolist() == [(x ^ (x >> 16)) % 17 for x in words]
    assert len(set(pattern.ravel().tolist())) > 10


def test_no_images_have_the_networks_shape(small_network) -> None:
    none = BuiltInImages.none(small_network.integer)
    assert none.images.shape == (0, 8, 8, 1)
