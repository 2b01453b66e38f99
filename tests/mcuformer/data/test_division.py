"""Shares of every class, and classes that are too small for them."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.division import check_labels, divide
from mcuformer.errors import DataError


def test_shares_of_every_class() -> None:
    labels = np.array([0] * 10 + [1] * 20)
    division = divide(labels, 0.25, 0.2, 3)  # 2 and 4 for tests; of 8 and 16 a quarter, 2 and 4
    parts = (division.train, division.steering, division.test)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[6, 12], [2, 4], [2, 4]]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(30))
    given = divide(labels, None, None, 3)
    assert (len(given.train), len(given.steering), len(given.test)) == (30, 0, 0)


def test_three_images_are_one_for_each_split() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    division = divide(labels, 0.9, 0.9, 0)
    for part in (division.train, division.steering, division.test):
        assert np.bincount(labels[part]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "the training part is empty"),
        ([0, 0, 0, 2], "label out of range .got 0 to 2, expected 0 to 1"),
        ([-1, 0], "label out of range"),
        ([0, 0, 0, 1, 1], r"class '\[/b\]' has too few images .* .got 2, expected at least 3"),
    ],
)
def test_refusals(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_labels(np.array(labels, np.int64), ("a", "[/b]"), "training", 3)
