"""Randomness is an argument: one seed, split into named, independent streams."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.uint64]
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64's


def derive(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream called `names`, independent of every other stream's.

    >>> derive(0, "sampling") != derive(0, "mutation")
    True
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a generator at the start of the stream called `names`, for instance ``"data", epoch``.

    >>> again = stream(0, "data", 3).random() == stream(0, "data", 3).random()
    >>> again, stream(0, "data", 3).random() == stream(0, "data", 4).random()
    (True, False)
    """
    return np.random.default_rng(derive(seed, *names))


def numbers(seed: int, positions: npt.NDArray[np.int64]) -> Counts:
    """Return the 64-bit random numbers at positions of a sequence, in the shape of `positions`.

    A number depends on its position alone, not on what was drawn before: SplitMix64 (Steele et al.,
    2014, figure 15) mixes a counter.

    Args:
        seed: start of the sequence, from :func:`derive`.
        positions: positions from 0.
    """
    with np.errstate(over="ignore"):  # it counts modulo 2^64
        mixed = np.uint64(seed) + np.uint64(GOLDEN) * (positions.astype(np.uint64) + np.uint64(1))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(FIRST)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(SECOND)
    result: Counts = mixed ^ (mixed >> np.uint64(31))
    return result


def uniform(bits: Counts) -> npt.NDArray[np.float64]:
    """Return 64-bit random numbers as multiples of 2^-53 in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
