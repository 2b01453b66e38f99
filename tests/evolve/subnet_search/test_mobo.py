"""Bayesian optimisation: stages, distances and origins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.candidate import Candidate, Proposal, Training
from evolve.subnet_search.distance import DistanceTable
from evolve.subnet_search.mobo import MoboConfig, Stage, distances
from evolve.subnet_search.morphs import morphs
from evolve.subnet_search.problem import Problem
from mcuformer.errors import BudgetError, ConfigError

Run = Callable[..., list[Candidate]]


def test_stages_follow_each_other() -> None:
    config = MoboConfig()
    names = [config.stage(number).objectives for number in range(80)]
    accuracy, flash, sram = "accuracy_percent", "flash_bytes", "sram_bytes"
    assert config.evaluations == 80
    assert names[:32] == [(accuracy,)] * 32
    assert names[32:56] == [(accuracy, flash)] * 24
    assert names[56:] == [(accuracy, flash, sram)] * 24


def test_a_stage_optimises_its_objectives(run: Run) -> None:
    """Accuracy grows with the work: first the largest are proposed, then the smallest."""
    stages = tuple(Stage(share=0.5, objectives=(m,)) for m in ("accuracy_percent", "flash_bytes"))
    found = run(MoboConfig(rounds=48, stages=stages, initial=8))
    params = [candidate.subnet.num_params for candidate in found]
    assert np.mean(params[16:24]) > 1.3 * np.mean(params[:8])
    assert np.mean(params[40:]) < 0.7 * np.mean(params[:8])


def test_what_grows_inherits(problem: Problem, run: Run) -> None:
    stages = (Stage(share=1.0, objectives=("accuracy_percent", "flash_bytes")),)
    found = run(MoboConfig(rounds=40, stages=stages))
    known = {candidate.key: candidate for candidate in found}
    assert all(candidate.proposal.parent is None for candidate in found[:10])
    heirs = [c for c in found if c.proposal.parent is not None]
    assert heirs
    for heir in heirs:
        parent = known[heir.proposal.parent]
        assert found.index(parent) < found.index(heir)
        growth = [m.subnet for m in morphs(problem, parent.subnet) if m.preserving]
        assert heir.subnet in growth


def test_training_is_a_gene_where_it_has_choices(run: Run) -> None:
    found = run(MoboConfig(rounds=40, lr_factors=(0.5, 1.0, 2.0)))
    trainings = [candidate.proposal.training for candidate in found]
    assert {training.lr_factor for training in trainings} == {0.5, 1.0, 2.0}
    assert {training.weight_decay_factor for training in trainings} == {1.0}
    assert len({candidate.key for candidate in found}) == 40


def test_distances_by_hand(problem: Problem, rng: np.random.Generator) -> None:
    one, other = (problem.fresh(rng, ()).subnet for _ in range(2))
    proposals = [
        Proposal(one),
        Proposal(one, Training(lr_factor=4.0)),
        Proposal(one, Training(lr_factor=0.5, weight_decay_factor=2.0)),
        Proposal(other),
    ]
    found = distances(proposals, proposals, DistanceTable())
    # two doublings; one halving and one doubling; three doublings and one
    assert found[:3, :3] == pytest.approx(np.array([[0, 0.2, 0.2], [0.2, 0, 0.4], [0.2, 0.4, 0]]))
    assert found == pytest.approx(found.T)
    assert 0.0 < found[0, 3] <= 1.0
    assert found[1, 3] == pytest.approx(found[0, 3] + 0.2)


def test_half_of_what_pruning_leaves_is_one_doubling(
    problem: Problem, rng: np.random.Generator
) -> None:
    subnet = problem.fresh(rng, ()).subnet
    proposals = [Proposal(subnet, Training(pruning_share=share)) for share in (None, 0.5, 0.75)]
    found = distances(proposals, proposals, DistanceTable())
    assert found == pytest.approx(np.array([[0, 0.1, 0.2], [0.1, 0, 0.1], [0.2, 0.1, 0]]))


def test_a_stage_needs_bounds(problem: Problem) -> None:
    config = MoboConfig(stages=(Stage(share=1.0, objectives=("macs",)),))
    with pytest.raises(BudgetError, match=r"^budget\.soft\.macs: no bound of an objective"):
        config.metrics(problem)
    limit = problem.limit.model_copy(update={"macs": 10**6})
    assert config.metrics(replace(problem, limit=limit)) == ("macs",)


def test_shares_add_up() -> None:
    stage = {"share": 0.4, "objectives": ["accuracy_percent"]}
    with pytest.raises(ConfigError, match=r"the stages' shares add up to 0\.8, expected 1"):
        MoboConfig.parse({"stages": [stage, stage]})


def test_factors_ascend() -> None:
    with pytest.raises(ConfigError, match="lr_factors must ascend without repetition"):
        MoboConfig.parse({"lr_factors": [1.0, 1.0]})
