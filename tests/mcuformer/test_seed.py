"""Streams of random numbers by name."""

from __future__ import annotations

import hashlib

from mcuformer.seed import derive, stream


def test_names_are_told_apart() -> None:
    names = [("a",), ("b",), ("a", 1), ("a", 2), ("a", "1", 1)]
    assert len({derive(seed, *name) for seed in (0, 1) for name in names}) == 10
    assert stream(0, "a").random() == stream(0, "a").random() != stream(0, "b").random()


def test_a_stream_never_changes() -> None:
    """Runs are repeated years later: 63 bits of SHA-256 over seed and names."""
    digest = hashlib.sha256(b"7/data/3").digest()
    assert derive(7, "data", 3) == int.from_bytes(digest[:8], "little") >> 1
