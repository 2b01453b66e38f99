"""The share to prune as a gene: its range, its steps, and the strategies that vary it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.candidate import Candidate, Proposal, Training
from evolve.subnet_search.mobo import MoboConfig, Stage
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.scalarisation import ScalarisedStrategy
from evolve.subnet_search.shares import drawn, mutated
from mcuformer.errors import ConfigError
from mcuformer.subnet import SubnetConfig

LIMITS = (0.2, 0.6)
ONE_STAGE = (Stage(share=1.0, objectives=("accuracy_percent", "flash_bytes")),)
VARYING: list[ScalarisedStrategy] = [
    AgingConfig(population=10, sample=4, rounds=40, pruning_share=LIMITS),
    MoboConfig(rounds=24, initial=8, stages=ONE_STAGE, pruning_share=LIMITS),
]


@dataclass(frozen=True)
class FewBlocks:
    """A made-up pruning: half of the blocks stay, and one of a single block cannot go."""

    def expected(self, subnet: SubnetConfig, share: float | None) -> SubnetConfig | None:
        if subnet.depth == 1 or share is None:
            return None
        return subnet.model_copy(update={"blocks": subnet.blocks[: subnet.depth // 2]})

    def dump(self) -> dict[str, Any]:
        return {}


def test_first_shares_are_uniform_and_steps_normal(rng: np.random.Generator) -> None:
    first = np.array([drawn(LIMITS, rng) for _ in range(4000)])
    assert (0.2 <= first.min() < 0.21, 0.59 < first.max() <= 0.6) == (True, True)
    # of a uniform one: mean 0.4, deviation 0.4 / sqrt(12)
    assert first.mean() == pytest.approx(0.4, abs=0.01)
    assert first.std() == pytest.approx(0.1155, abs=0.005)
    steps = np.array([mutated((0.01, 0.99), 0.5, rng) for _ in range(4000)]) - 0.5
    assert steps.mean() == pytest.approx(0.0, abs=0.004)
    assert steps.std() == pytest.approx(0.05, abs=0.003)
    ends = {mutated(LIMITS, 0.6, rng) for _ in range(100)}
    assert max(ends) == 0.6  # clipped, so that about half of them are the limit


def test_without_limits_nothing_is_drawn(rng: np.random.Generator) -> None:
    before = rng.bit_generator.state
    assert (drawn(None, rng), mutated(None, None, rng)) == (None, None)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("strategy", VARYING, ids=["aging", "mobo"])
def test_a_strategy_varies_it(
    strategy: ScalarisedStrategy, problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    found = run(strategy)
    shares = [candidate.proposal.training.pruning_share for candidate in found]
    assert all(0.2 <= share <= 0.6 for share in shares)
    assert len(set(shares)) > len(found) / 2
    assert len({candidate.key for candidate in found}) == strategy.evaluations
    first = strategy.population if isinstance(strategy, AgingConfig) else strategy.initial
    known = set(shares[:first])
    steps = [
        min(abs(s - other) for other in shares[:n]) for n, s in enumerate(shares) if n >= first
    ]
    assert len(known) > 1
    assert max(steps) < 0.25  # a step is normal, from a candidate before it


@pytest.mark.parametrize("strategy", VARYING, ids=["aging", "mobo"])
def test_what_should_be_left_must_keep_the_limits(
    strategy: ScalarisedStrategy, problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    """Networks of 2 and 3 blocks are taken, of which one block is left; none of one block is."""
    pruned = replace(problem, pruning=FewBlocks(), admits=lambda subnet: subnet.depth == 1)
    found = run(strategy, problem=pruned)
    assert {candidate.subnet.depth for candidate in found} == {2, 3}


def test_the_key_and_the_distance_know_it(small_subnet: SubnetConfig) -> None:
    proposals = [Proposal(small_subnet, Training(pruning_share=s)) for s in (None, 0.5, 0.75)]
    assert [a.key == b.key for a, b in pairwise(proposals)] == [False, False]


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ([0.5, 0.5], "pruning_share: the smallest share must be below the largest"),
        ([0.0, 0.5], r"pruning_share\.0: out of range"),
        ([0.5], "pruning_share: out of range"),
    ],
)
def test_bad_shares(shares: list[float], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        AgingConfig.parse({"pruning_share": shares})
