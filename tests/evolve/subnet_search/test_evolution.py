"""The search on a made-up accuracy."""

from __future__ import annotations

import numpy as np

from evolve.subnet_search.evolution import Candidate, EvolutionConfig, evolve
from evolve.subnet_search.population import Variation
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig

CONFIG = EvolutionConfig(population=12, generations=8, parents=4, mutants=6, crossovers=4)


def test_it_climbs_and_evaluates_each_subnet_once(
    digits_space: SearchSpace, rng: np.random.Generator
) -> None:
    """Accuracy that grows with the work: the largest subnets win, under the limit on blocks."""
    variation = Variation(
        digits_space, digits_space.points()[0], lambda s: s.depth <= 2, 0.4, 0.4, 0.2
    )
    evaluated: list[str] = []

    def evaluate(subnet: SubnetConfig) -> Candidate:
        evaluated.append(subnet.key)
        return Candidate(subnet, subnet.macs / 1e6, 1, 1)

    rows: list[tuple[int, list[Candidate]]] = []
    best = evolve(
        CONFIG, variation, evaluate, rng, range(8), lambda number, new: rows.append((number, new))
    )
    assert len(evaluated) == len(set(evaluated)) == sum(len(new) for _, new in rows)
    assert [number for number, _ in rows] == list(range(8))
    found = [candidate for _, new in rows for candidate in new]
    assert best.subnet.macs == max(candidate.subnet.macs for candidate in found)
    assert best.subnet.depth == 2
    first = max(candidate.subnet.macs for candidate in rows[0][1])
    assert best.subnet.macs > first


def test_ties_go_to_the_smaller(small_subnet: SubnetConfig) -> None:
    equal = [Candidate(small_subnet, 90.0, sram, flash) for sram, flash in ((9, 1), (8, 7), (8, 6))]
    assert min(equal, key=lambda c: c.rank) == equal[2]
