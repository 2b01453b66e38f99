"""Randomness is an argument: one seed, split into named, independent streams."""

from __future__ import annotations

import hashlib

import numpy as np


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
