"""Streams of random numbers by name."""

from __future__ import annotations

import hashlib

import numpy as np

from mcuformer.seed import derive, numbers, stream, uniform


def test_names_are_told_apart() -> None:
    names = [("a",), ("b",), ("a", 1), ("a", 2), ("a", "1", 1)]
    assert len({derive(seed, *name) for seed in (0, 1) for name in names}) == 10
    assert stream(0, "a").random() == stream(0, "a").random() != stream(0, "b").random()


def test_a_stream_never_changes() -> None:
    """Runs are repeated years later: 63 bits of SHA-256 over seed and names."""
    digest = hashlib.sha256(b"7/data/3").digest()
    assert derive(7, "data", 3) == int.from_bytes(digest[:8], "little") >> 1


def test_numbers_are_those_of_splitmix64() -> None:
    """The first five of seed 1234567, as published on Rosetta Code."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert numbers(1234567, np.arange(5)).tolist() == published
    assert numbers(1234567, np.array([[4], [0]])).tolist() == [[published[4]], [published[0]]]
    largest = uniform(np.array([2**64 - 1, 0], np.uint64))
    assert largest.tolist() == [1 - 2.0**-53, 0.0]
