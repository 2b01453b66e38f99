"""Evolution on a made-up accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.problem import Problem
from mcuformer.errors import BudgetError
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


def test_a_small_space_is_seen_whole_and_then_left(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    narrow = replace(problem, admits=lambda s: s.depth == 2 and s.embed_dim == 32)
    blocks = len(problem.space.num_heads) * len(problem.space.mlp_ratio)
    found = run(CONFIG, problem=narrow)
    assert len({candidate.key for candidate in found}) == len(found) == blocks**2


def test_nothing_admissible(problem: Problem, run: Callable[..., list[Candidate]]) -> None:
    barren = replace(problem, admits=lambda _: False)
    with pytest.raises(BudgetError, match="budget: none of 10000 sampled subnets fits"):
        run(CONFIG, problem=barren)


def test_ties_go_to_the_smaller(small_subnet: SubnetConfig) -> None:
    proposal = Proposal(small_subnet)
    equal = [Candidate(proposal, 90.0, *memory) for memory in ((9, 1), (8, 7), (8, 6))]
    assert min(equal, key=lambda c: c.rank) == equal[2]
