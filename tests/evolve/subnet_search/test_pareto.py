"""Fronts and hypervolumes by hand, by definition and by counting cells."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.subnet_search.pareto import (
    crowding_distances,
    dominates,
    front,
    hypervolume,
    non_dominated_ranks,
)
from mcuformer.errors import InternalError

SIDE = 4  # of the grid whose cells are counted

Rows = list[tuple[int, ...]]
grids = st.integers(1, 5).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, SIDE)] * m), min_size=1, max_size=12)
)


def test_domination() -> None:
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 2), (1, 2))
    assert not dominates((1, 3), (2, 2))


def test_fronts_by_hand() -> None:
    """(1, 4), (2, 2) and (4, 1) beat all others; of those, only (2, 3) beats (5, 5)."""
    points = [(5, 5), (1, 4), (2, 2), (2, 3), (4, 1), (2, 2)]
    assert front(points).tolist() == [1, 2, 4, 5]
    assert non_dominated_ranks(points).tolist() == [2, 0, 0, 1, 0, 0]


@given(rows=grids)
def test_ranks_by_definition(rows: Rows) -> None:
    """A row's rank is one above the highest rank among the rows that dominate it."""
    ranks = non_dominated_ranks(rows)
    for row, rank in zip(rows, ranks, strict=True):
        above = [r for other, r in zip(rows, ranks, strict=True) if dominates(other, row)]
        assert rank == max(above, default=-1) + 1


def test_crowding_by_hand() -> None:
    """Ranges 8 and 4: for (2, 3) 4 / 8 + 3 / 4, for (4, 2) 6 / 8 + 3 / 4."""
    points = [(4.0, 2.0), (0.0, 5.0), (8.0, 1.0), (2.0, 3.0)]
    expected = [6 / 8 + 2 / 4, np.inf, np.inf, 4 / 8 + 3 / 4]
    assert crowding_distances(points).tolist() == expected
    assert crowding_distances([(1.0, 7.0), (2.0, 7.0), (4.0, 7.0)]).tolist() == [np.inf, 1, np.inf]


def test_volumes_by_hand() -> None:
    """Two boxes of 2 x 1 x 1 and 1 x 2 x 2 share a unit cube; one lies outside the reference."""
    assert hypervolume([(0, 1, 1), (1, 0, 0), (3, 0, 0)], (2, 2, 2)) == 2 + 4 - 1
    assert hypervolume([(0.25, 0.5)], (1.0, 1.0)) == 0.75 * 0.5
    assert hypervolume([(2, 2)], (2, 3)) == 0
    assert hypervolume(np.empty((0, 3)), (1, 1, 1)) == 0


@settings(deadline=None, max_examples=150)
@given(rows=grids)
def test_a_volume_is_a_number_of_cells(rows: Rows) -> None:
    """Of the unit cells between 0 and the reference, those above some row in every objective."""
    width = len(rows[0])
    cells = np.array(list(product(range(SIDE), repeat=width)))
    covered = np.zeros(len(cells), bool)
    for row in rows:
        covered |= np.all(cells >= row, axis=1)
    assert hypervolume(rows, [SIDE] * width) == covered.sum()


def test_what_is_not_a_matrix_of_finite_numbers_is_refused() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(InternalError, match="points: not a matrix of finite numbers"):
            front([(1.0, value)])
    with pytest.raises(InternalError, match="points and reference differ"):
        hypervolume([(1, 2)], (1, 2, 3))
