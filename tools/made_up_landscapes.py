"""Made-up scores over a grid with a known optimum, in families of different shape.

All are on a 12 x 5 grid, in score points:

* `peak`: 70 - (a |dr| + b |dP|) - 0.2 c dr dP around an interior optimum, with a from U(0.6, 1.5),
  b from U(1, 3) and c from U(-0.3, 0.3);
* `bumps`: four Gaussian bumps, of heights from U(3, 8) and widths from U(0.15, 0.4) of the grid;
* `plateau`: a peak of slopes a and b as above, cut off 1.5 below its top; everything on it is best;
* `ridge`: steep (U(1, 2) per step) across a line between two sides of the grid, gentle (U(0.2,
  0.4)) along it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SHAPE = (12, 5)
Scores = npt.NDArray[np.float64]


def _offsets(rng: np.random.Generator) -> tuple[Scores, Scores]:
    """Return the distances in rows and in columns to a random interior point."""
    peak = [int(rng.integers(1, length - 1)) for length in SHAPE]
    rows, columns = np.indices(SHAPE).astype(np.float64)
    return rows - peak[0], columns - peak[1]


def peak(rng: np.random.Generator) -> Scores:
    """Return one peak, with a weak interaction of the axes."""
    down, right = _offsets(rng)
    a, b, c = rng.uniform(0.6, 1.5), rng.uniform(1.0, 3.0), rng.uniform(-0.3, 0.3)
    return np.asarray(70 - (a * np.abs(down) + b * np.abs(right)) - 0.2 * c * down * right)


def bumps(rng: np.random.Generator) -> Scores:
    """Return four bumps, of which one is the highest."""
    x, y = np.indices(SHAPE) / (np.array(SHAPE) - 1.0)[:, None, None]
    scores = np.full(SHAPE, 60.0)
    for _ in range(4):
        height, width = rng.uniform(3.0, 8.0), rng.uniform(0.15, 0.4)
        centre = rng.uniform(size=2)
        scores += height * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
    return scores


def plateau(rng: np.random.Generator) -> Scores:
    """Return a peak that is cut off."""
    down, right = _offsets(rng)
    slopes = rng.uniform(0.6, 1.5), rng.uniform(1.0, 3.0)
    return np.asarray(70 - np.maximum(slopes[0] * np.abs(down) + slopes[1] * np.abs(right), 1.5))


def ridge(rng: np.random.Generator) -> Scores:
    """Return a ridge that crosses the rows at an angle to the grid."""
    rows, columns = np.indices(SHAPE)
    start, end = rng.uniform(0.0, SHAPE[1] - 1.0, size=2)
    across = columns - (start + (end - start) * rows / (SHAPE[0] - 1.0))
    along = rows - int(rng.integers(1, SHAPE[0] - 1))
    return np.asarray(
        70 - rng.uniform(1.0, 2.0) * np.abs(across) - rng.uniform(0.2, 0.4) * np.abs(along)
    )


FAMILIES: dict[str, Callable[[np.random.Generator], Scores]] = {
    "peak": peak,
    "bumps": bumps,
    "plateau": plateau,
    "ridge": ridge,
}
