"""NSGA-II: survivors by hand, and a front that beats that of random draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.nsga2 import Nsga2Config, num_genes
from evolve.subnet_search.pareto import hypervolume
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.strategy import Strategy
from mcuformer.subnet import SubnetConfig


def test_survivors_by_hand(problem: Problem, small_subnet: SubnetConfig) -> None:
    two = replace(problem, objectives=("accuracy_percent", "flash_bytes"))

    def generation(*losses: tuple[float, int]) -> list[Candidate]:
        return [Candidate(Proposal(small_subnet), 100.0 - e, 0, flash) for e, flash in losses]

    def survivors(history: list[Candidate]) -> list[tuple[float, ...]]:
        return [
            two.losses(row.candidate) for row in Nsga2Config(population=3).survivors(two, history)
        ]

    first = generation((1, 9), (9, 1), (5, 5))
    assert sorted(survivors(first)) == [(1, 9), (5, 5), (9, 1)]
    # (7, 7) and (5, 6) are dominated. Of the front, both ends stay; between them (5, 5) has more
    # room, 5/8 + 5/8, than (4, 6), 4/8 + 4/8
    second = first + generation((7, 7), (4, 6), (5, 6))
    assert sorted(survivors(second)) == [(1, 9), (5, 5), (9, 1)]
    third = second + generation((0, 9), (5, 4), (9, 0))
    assert sorted(survivors(third)) == [(0, 9), (5, 4), (9, 0)]


def test_genes_by_hand(problem: Problem) -> None:
    assert num_genes(problem) == 2 + 4 * 2  # width and depth; heads and ratio of four blocks
    assert num_genes(replace(problem, points=problem.space.points())) == 11
    fixed = {"embed_dim": (32,), "depth": (2,), "num_heads": (2,), "mlp_ratio": (2.0,)}
    assert num_genes(replace(problem, space=problem.space.model_copy(update=fixed))) == 1


def test_its_front_beats_that_of_random_draws(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    two = replace(problem, objectives=("accuracy_percent", "flash_bytes"))
    scale = np.array([100.0, 131_072.0])

    def volume(strategy: Strategy) -> float:
        runs = [run(strategy, seed=seed, problem=two) for seed in range(5)]
        points = [np.array([two.losses(c) for c in found]) / scale for found in runs]
        return float(np.mean([hypervolume(p, (1.0, 1.0)) for p in points]))

    guided = volume(Nsga2Config(population=12, generations=4))
    assert guided > volume(RandomConfig(samples=48)) + 0.001
