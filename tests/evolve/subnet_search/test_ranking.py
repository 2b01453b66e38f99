"""Fronts, and room on a front, by hand."""

from __future__ import annotations

from dataclasses import replace

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.ranking import ranked
from mcuformer.subnet import SubnetConfig


def test_fronts_first_then_room(small_subnet: SubnetConfig) -> None:
    losses = [(5, 5), (1, 4), (2, 3), (4, 1), (2, 2), (2, 3.5)]
    candidates = [Candidate(Proposal(small_subnet), i, 0, 0) for i in range(len(losses))]
    rows = ranked(candidates, losses)
    # (2, 2) stands between (1, 4) and (4, 1): 3/3 + 3/3; (2, 3), (2, 3.5) and (5, 5) follow
    assert [row.candidate.accuracy_percent for row in rows] == [1, 3, 4, 2, 5, 0]
    assert [row.front for row in rows] == [0, 0, 0, 1, 2, 3]
    assert rows[2].crowding == 2.0
    assert rows[0].crowding == rows[1].crowding == float("inf")


def test_what_exceeds_the_limits_comes_last(small_subnet: SubnetConfig) -> None:
    losses = [(1, 1), (3, 3), (0, 2), (4, 4)]
    candidates = [Candidate(Proposal(small_subnet), i, 0, 0) for i in range(len(losses))]
    for index in (0, 2):  # they dominate the others
        candidates[index] = replace(candidates[index], fits=False)
    rows = ranked(candidates, losses)
    assert [(row.candidate.accuracy_percent, row.front) for row in rows] == [
        (1, 0),
        (3, 1),
        (0, 2),
        (2, 2),
    ]
    excess = [replace(candidate, fits=False) for candidate in candidates]
    assert [row.front for row in ranked(excess, losses)] == [0, 0, 1, 2]
