"""What every strategy keeps, on a made-up accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.mobo import MoboConfig, Stage
from evolve.subnet_search.nsga2 import Nsga2Config
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.strategies import StrategyConfig
from evolve.subnet_search.strategy import Strategy
from evolve.subnet_search.tinynas import TinynasConfig
from mcuformer.errors import BudgetError

Run = Callable[..., list[Candidate]]
EVALUATIONS = 48
EVOLUTION = EvolutionConfig(population=12, generations=4, parents=4, mutants=6, crossovers=4)
RANDOM = RandomConfig(samples=EVALUATIONS)
ACCURACY = (Stage(share=1.0, objectives=("accuracy_percent",)),)
GUIDED: list[Strategy] = [
    EVOLUTION,
    AgingConfig(population=16, sample=6, rounds=EVALUATIONS),
    Nsga2Config(population=12, generations=4),
    TinynasConfig(samples=40, evolution=EVOLUTION),
    MoboConfig(rounds=EVALUATIONS, stages=ACCURACY),
]
ALL = [RANDOM, *GUIDED]


def name_of(strategy: Strategy) -> str:
    return str(strategy.dump()["name"])


def test_every_strategy_is_here() -> None:
    assert {type(strategy) for strategy in ALL} == set(get_args(get_args(StrategyConfig)[0]))


@pytest.mark.parametrize("strategy", ALL, ids=name_of)
def test_proposals_are_new_admissible_and_a_function_of_the_seed(
    strategy: Strategy, run: Run
) -> None:
    found = run(strategy)
    assert len({candidate.key for candidate in found}) == len(found) == EVALUATIONS
    assert all(candidate.subnet.depth <= 2 for candidate in found)
    assert run(strategy) == found
    assert run(strategy, seed=1) != found


@pytest.mark.parametrize("strategy", ALL, ids=name_of)
def test_a_small_space_is_seen_whole_and_then_left(
    strategy: Strategy, problem: Problem, run: Run
) -> None:
    narrow = replace(
        problem,
        admits=lambda s: s.depth == 2 and s.embed_dim == 32 and s.blocks[0].num_heads == 3,
    )
    found = run(strategy, problem=narrow)
    heads, ratios = len(problem.space.num_heads), len(problem.space.mlp_ratio)
    assert len({candidate.key for candidate in found}) == len(found) == heads * ratios**2


@pytest.mark.parametrize("strategy", ALL, ids=name_of)
def test_nothing_admissible(strategy: Strategy, problem: Problem, run: Run) -> None:
    barren = replace(problem, admits=lambda _: False)
    with pytest.raises(BudgetError, match=r"^budget: none of \d+ sampled subnets .*fits"):
        run(strategy, problem=barren)


@pytest.mark.parametrize("strategy", GUIDED, ids=name_of)
def test_it_beats_random_draws(strategy: Strategy, problem: Problem, run: Run) -> None:
    """Accuracy grows with the work: under the limit on blocks, the largest subnets win."""

    def mean_best(strategy: Strategy) -> float:
        runs = (run(strategy, seed=seed) for seed in range(5))
        return float(np.mean([strategy.best(problem, found).accuracy_percent for found in runs]))

    assert mean_best(strategy) > mean_best(RANDOM) + 0.1
