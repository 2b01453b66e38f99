"""What evaluators work with: few digits, and a supernet that is not trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evolve.evaluation.evaluator import Workbench
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.task import Search
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.space import SearchSpace
from supernet.data import pad_value
from supernet.model import Supernet


@pytest.fixture(scope="session")
def digits(digits_config: DataConfig) -> Dataset:
    return load(digits_config)


@pytest.fixture
def problem(digits_space: SearchSpace, stm32f100: Device) -> Problem:
    limit = Budget.of(BudgetConfig(), stm32f100)
    return Problem(digits_space, (digits_space.point_at((1, 3)),), lambda s: s.depth <= 3, limit)


@pytest.fixture
def bench(digits: Dataset, problem: Problem, tmp_path: Path) -> Callable[..., Workbench]:
    """Return a workbench of 160 training images, with changes."""

    def untrained() -> Supernet:
        torch.manual_seed(0)
        padding = pad_value(digits.preprocessing)
        return Supernet(problem.space, problem.points[0], padding).eval()

    def _bench(**changes: Any) -> Workbench:
        few = replace(digits, train=digits.train.take(np.arange(160)))
        search = Search(RandomConfig(samples=8), problem, seed=3)
        return replace(
            Workbench(few, untrained, torch.device("cpu"), search, tmp_path / "bench"), **changes
        )

    return _bench
