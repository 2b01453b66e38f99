"""Pareto fronts and their quality. Every objective is to be minimised; rows are points.

Sources: NSGA-II (Deb et al., 2002, section III) for ranks and crowding, WFG (While et al., 2012)
for the hypervolume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mcuformer.errors import InternalError

Points = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def dominates(one: npt.ArrayLike, other: npt.ArrayLike) -> bool:
    """Return whether a point (m,) is nowhere worse than another, and better somewhere."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return bool(np.all(a <= b) and np.any(a < b))


def front(points: npt.ArrayLike) -> Indices:
    """Return the indices, ascending, of the rows of (n, m) that no other row dominates.

    Equal rows do not dominate one another.

    Raises:
        InternalError: the points are not a matrix of finite numbers.
    """
    return np.flatnonzero(non_dominated_ranks(points) == 0)


def non_dominated_ranks(points: npt.ArrayLike) -> Indices:
    """Return the rank (n,) of each row of (n, m): 0 on the front, 1 on the front of the rest, ...

    Raises:
        InternalError: the points are not a matrix of finite numbers.
    """
    values = _matrix(points)
    dominated = _domination(values)
    ranks = np.zeros(len(values), np.int64)
    rest = np.arange(len(values))
    rank = 0
    while len(rest):
        beaten = dominated[np.ix_(rest, rest)].any(axis=0)
        ranks[rest[~beaten]] = rank
        rest, rank = rest[beaten], rank + 1
    return ranks


def crowding_distances(points: npt.ArrayLike) -> Points:
    """Return the crowding distance (n,) of each row of a front (n, m).

    The sum over objectives of the distance between both neighbours in that objective, divided by
    its range; infinite for the least and the largest. An objective without range adds nothing.

    Raises:
        InternalError: the points are not a matrix of finite numbers.
    """
    values = _matrix(points)
    distances = np.zeros(len(values))
    if len(values) == 0:
        return distances
    for column in values.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if width > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distances


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Return the volume of what the rows of (n, m) dominate below a reference point (m,), exactly.

    Rows that are not better than the reference in every objective add nothing. The time grows with
    the power m - 1 of the front's size in the worst case.

    Raises:
        InternalError: the points are not a matrix of finite numbers as wide as the reference.
    """
    limit = np.asarray(reference, np.float64)
    values = _matrix(points)
    if values.shape[1:] != limit.shape:
        raise InternalError("points and reference differ", got=values.shape, expected=limit.shape)
    values = values[np.all(values < limit, axis=1)]
    return _volume(limit - values)


def _volume(sides: Points) -> float:
    """Return the volume of the union of boxes that share a corner, by their sides (n, m)."""
    # Boxes go from the longest in the last axis. What a box adds to those before it is a prism over
    # that axis: in front of it, their intersections with it are as long as it is. So its base is
    # its own face without the union of the intersections' faces, which has an axis less.
    if len(sides) == 0:
        return 0.0
    if sides.shape[1] == 1:
        return float(sides.max())
    if sides.shape[1] == 2:
        return _area(sides)
    sides = sides[front(-sides)]
    sides = sides[np.argsort(-sides[:, -1], kind="stable")]
    faces = sides[:, :-1]
    total = 0.0
    for index, face in enumerate(faces):
        base = float(np.prod(face)) - _volume(np.minimum(faces[:index], face))
        total += base * float(sides[index, -1])
    return total


def _area(sides: Points) -> float:
    """Return the area of the union of rectangles that share a corner, by their sides (n, 2)."""
    sides = sides[np.argsort(-sides[:, 0], kind="stable")]
    heights = np.maximum.accumulate(sides[:, 1])
    return float(sides[:, 0] @ np.diff(heights, prepend=0.0))


def _domination(values: Points) -> npt.NDArray[np.bool_]:
    """Return (n, n): whether row i dominates row j."""
    no_worse = np.ones((len(values), len(values)), np.bool_)
    better = np.zeros_like(no_worse)
    for column in values.T:
        no_worse &= column[:, None] <= column
        better |= column[:, None] < column
    return no_worse & better


def _matrix(points: npt.ArrayLike) -> Points:
    """Return points as (n, m).

    Raises:
        InternalError: they are not a matrix, or one is not finite.
    """
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InternalError(
            "not a matrix of finite numbers", where="points", got=f"shape {values.shape}"
        )
    return values
