"""A search of digits' subnets with a made-up accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from evolve.subnet_search.task import Search, Task
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.space import SearchSpace

CONDITIONS = {"threads": 1}


class MadeUp:
    """A made-up accuracy that grows with the work; it counts its calls and may be interrupted."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.keys: list[str] = []
        self.interrupted_at = interrupted_at

    def __call__(self, task: Task) -> Candidate:
        if len(self.keys) == self.interrupted_at:
            raise KeyboardInterrupt
        self.keys.append(task.proposal.key)
        return candidate(task.proposal)


def candidate(proposal: Proposal) -> Candidate:
    """Evaluate a proposal with the made-up accuracy."""
    subnet = proposal.subnet
    memory = subnet.depth, subnet.num_params
    return Candidate(proposal, subnet.macs / 3e5, *memory, ms_high=subnet.macs / 7)


@pytest.fixture
def problem(digits_space: SearchSpace, stm32f100: Device) -> Problem:
    """Subnets of one point with at most two blocks."""
    limit = Budget.of(BudgetConfig(), stm32f100)
    return Problem(digits_space, digits_space.points()[:1], lambda s: s.depth <= 2, limit)


@pytest.fixture
def run(problem: Problem) -> Callable[..., list[Candidate]]:
    """Run a strategy without a study; return the candidates."""

    def _run(strategy: Strategy, seed: int = 0, problem: Problem = problem) -> list[Candidate]:
        found: list[Candidate] = []
        search = Search(strategy, problem, seed)
        while len(found) < strategy.evaluations:
            taken = frozenset(c.key for c in found)
            batch = search.propose(len(found), found, taken)
            found += map(candidate, batch)
            if len(batch) < min(strategy.batch, strategy.evaluations - len(found) + len(batch)):
                break
        return found

    return _run


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal.log")
