"""Breeding by rejection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evolve.subnet_search.breeding import ATTEMPTS, bred
from evolve.subnet_search.problem import Problem
from mcuformer.subnet import SubnetConfig


def test_known_repeated_and_inadmissible_children_are_refused(
    problem: Problem, rng: np.random.Generator
) -> None:
    anything = replace(problem, admits=lambda _: True)
    known, large, first, second = (anything.fresh(rng, ()).subnet for _ in range(4))
    litter = iter([known, first, first, large, second, known])
    strict = replace(problem, admits=lambda subnet: subnet != large)
    assert bred(lambda: next(litter), 2, strict, {known.key}) == [first, second]
    assert next(litter) == known  # it stops when it has enough


def test_it_gives_up(problem: Problem, small_subnet: SubnetConfig) -> None:
    calls = []

    def child() -> SubnetConfig:
        calls.append(1)
        return small_subnet

    assert bred(child, 3, problem, {small_subnet.key}) == []
    assert len(calls) == 3 * ATTEMPTS
