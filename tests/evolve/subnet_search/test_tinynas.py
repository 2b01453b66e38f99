"""TinyNAS: the part of the space whose fitting subnets compute most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.tinynas import Part, TinynasConfig, parts
from mcuformer.errors import ConfigError

EVOLUTION = EvolutionConfig(population=6, generations=2, mutants=3, crossovers=2)
CONFIG = TinynasConfig(samples=60, evolution=EVOLUTION)


def test_parts_are_widths_up_to_a_multiple_of_the_largest(problem: Problem) -> None:
    points = problem.space.points()[:2]
    found = parts(replace(problem, points=points), (0.2, 0.4, 0.45, 0.5, 0.9, 1.0), 5)
    widths = [(32,), (32, 48), (32, 48, 64), (32, 48, 64, 96)]  # 0.2 has none, 0.45 those of 0.4
    assert [part.problem.space.embed_dim for part in found] == widths * 2
    assert [part.problem.points for part in found] == [(points[0],)] * 4 + [(points[1],)] * 4


def test_the_part_with_the_most_work_that_fits_is_chosen(problem: Problem) -> None:
    """What fits is 32 wide with four blocks, or 48 wide with two, which compute less.

    With three heads and a ratio of 3, a block has 12,288 weights at width 32 and 23,040 at 48; four
    of the one are more than two of the other, and attention is as often more.
    """
    points = problem.space.points()[12:]  # rank ratio 1
    narrow = replace(
        problem, points=points[::-1], admits=lambda s: (s.embed_dim, s.depth) in {(32, 4), (48, 2)}
    )
    chosen = CONFIG.chosen(narrow).problem
    assert chosen.points == points[:1]  # one pixel per token: the most tokens
    assert chosen.space.embed_dim == (32,)


def test_worth_by_hand(problem: Problem) -> None:
    part = Part(problem, (1, 2, 3, 10))
    assert (part.worth(None), part.worth(0.5), part.worth(0.75)) == (4.0, 2.5, 4.75)
    assert Part(problem, ()).worth(None) == -1.0


def test_the_evolution_stays_in_the_chosen_part(
    problem: Problem, run: Callable[..., list[Candidate]]
) -> None:
    """Only four tokens fit, and only 32 and 48 wide."""
    admits = {(4, 32), (4, 48)}
    points = problem.space.points()[:4]
    narrow = replace(problem, points=points, admits=lambda s: (s.patch_size, s.embed_dim) in admits)
    chosen = CONFIG.chosen(narrow).problem
    assert chosen.points == points[3:]
    found = run(CONFIG, problem=narrow)
    assert len(found) == 12
    assert all(chosen.space.contains(candidate.subnet) for candidate in found)


def test_the_picture_is_a_picture(problem: Problem) -> None:
    assert CONFIG.draws
    assert CONFIG.picture(problem).startswith(b"\x89PNG")


def test_multipliers_ascend() -> None:
    with pytest.raises(ConfigError, match="choices must ascend without repetition"):
        TinynasConfig.parse({"width_multipliers": [0.5, 0.25]})
