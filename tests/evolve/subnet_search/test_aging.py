"""Aging evolution on a made-up accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.morphs import morphs
from evolve.subnet_search.problem import Problem
from mcuformer.device import SoftBounds
from mcuformer.errors import ConfigError

CONFIG = AgingConfig(population=15, sample=5, rounds=60)


def test_children_are_morphs_of_the_latest(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    found = run(CONFIG)
    for number in range(15, 60):
        latest = found[number - 15 : number]
        children = {m.subnet.key for c in latest for m in morphs(problem, c.subnet)}
        assert found[number].subnet.key in children
    near = {m.subnet.key for c in found[:14] for m in morphs(problem, c.subnet)}
    assert not {c.subnet.key for c in found[1:15]} <= near  # the first ones are drawn


def test_the_bounds_choose_the_objective(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    """With the error alone it climbs, with the flash alone it goes for the smallest."""

    def mean_macs(soft: SoftBounds) -> float:
        found = run(CONFIG, problem=replace(problem, soft=soft))
        return float(np.mean([c.subnet.macs for c in found[30:]]))

    assert mean_macs(SoftBounds(error_percent=10.0)) > 2 * mean_macs(SoftBounds(flash_bytes=10**5))


def test_a_sample_is_of_the_population() -> None:
    with pytest.raises(ConfigError, match="sample exceeds population"):
        AgingConfig.parse({"population": 10, "sample": 11})
