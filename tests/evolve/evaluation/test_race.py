"""Racing stops the evaluation of candidates that cannot win, and of no others."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.evaluation.race import Race
from evolve.subnet_search.candidate import Candidate, Proposal
from mcuformer.subnet import SubnetConfig


def history(subnet: SubnetConfig, *rows: tuple[float, int | None]) -> list[Candidate]:
    return [Candidate(Proposal(subnet), percent, 0, 0, None, images) for percent, images in rows]


class Images:
    """A candidate that is correct on some images; it counts those that it saw."""

    def __init__(self, correct: np.ndarray) -> None:
        self.correct, self.seen = correct, 0

    def __call__(self, first: int, stop: int) -> float:
        assert first == self.seen
        self.seen = stop
        return 100.0 * float(self.correct[first:stop].mean())


def test_what_is_needed_is_the_accuracy_of_the_last_of_the_elite(
    small_subnet: SubnetConfig,
) -> None:
    rows = history(small_subnet, (70.0, None), (99.0, 25), (90.0, None), (80.0, None))
    assert Race(200, 2, 0.99).needed(rows) == 160  # 80 %; 25 images do not count as an accuracy
    assert Race(200, 3, 0.99).needed(rows) == 140
    assert Race(200, 4, 0.99).needed(rows) is None


def test_the_bound_by_hand() -> None:
    """9 correct of 10 are needed, so one of 5 images may be wrong, which it is in half of all."""
    race = Race(10, 1, confidence=0.5)
    assert race.drops(3, 5, needed=9)
    assert not race.drops(4, 5, needed=9)


def test_a_hopeless_candidate_is_dropped_at_the_first_look(small_subnet: SubnetConfig) -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random(800) < 0.3)
    found = Race(800, 1, 0.99).run(history(small_subnet, (90.0, None)), images)
    assert (found.images, images.seen) == (100, 100)
    assert found.percent == 100.0 * images.correct[:100].mean()


@pytest.mark.parametrize("rows", [[], [(99.0, 100)], [(89.0, None)]])
def test_a_good_candidate_is_measured_to_the_end(rows: list, small_subnet: SubnetConfig) -> None:
    images = Images(np.random.default_rng(0).permutation(803) < 0.9 * 803)
    found = Race(803, 1, 0.99).run(history(small_subnet, *rows), images)
    assert (found.images, images.seen) == (None, 803)
    assert found.percent == pytest.approx(100.0 * images.correct.mean(), abs=1e-9)


def test_a_candidate_that_deserves_to_stay_is_dropped_as_rarely_as_stated(
    small_subnet: SubnetConfig,
) -> None:
    """The worst case: a candidate exactly as good as what is needed, in 1,000 orders of images."""
    race, rows = Race(400, 1, confidence=0.8), history(small_subnet, (75.0, None))
    rng, correct = np.random.default_rng(1), np.arange(400) < 300
    results = [race.run(rows, Images(rng.permutation(correct))) for _ in range(1000)]
    dropped = np.mean([found.images is not None for found in results])
    assert 0.02 < dropped <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 1000)
