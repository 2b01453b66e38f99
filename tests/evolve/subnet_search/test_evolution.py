"""Evolution on a made-up accuracy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.problem import Problem
from mcuformer.subnet import SubnetConfig

CONFIG = EvolutionConfig(population=12, generations=8, parents=4, mutants=6, crossovers=4)


def test_it_climbs_and_proposes_each_subnet_once(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    """Accuracy that grows with the work: the largest subnets win, under the limit on blocks."""
    found = run(CONFIG)
    assert len({candidate.key for candidate in found}) == len(found) == 96
    assert all(candidate.subnet.depth <= 2 for candidate in found)
    best = CONFIG.best(problem, found)
    assert best.subnet.macs == max(candidate.subnet.macs for candidate in found)
    first, second = found[:12], found[12:22]  # drawn at random, and bred from the best of those
    assert np.mean([c.subnet.macs for c in second]) > np.mean([c.subnet.macs for c in first])


def test_ties_go_to_the_smaller(small_subnet: SubnetConfig) -> None:
    proposal = Proposal(small_subnet)
    equal = [Candidate(proposal, 90.0, *memory) for memory in ((9, 1), (8, 7), (8, 6))]
    assert min(equal, key=lambda c: c.rank) == equal[2]
