"""What a plan expects, by hand; tests/supernet/test_speed.py tests the measurement."""

from __future__ import annotations

import pytest

from mcuformer.chain import ChainConfig
from mcuformer.plan import Counts, Speed, expected_seconds, measured_points, space_search_line
from mcuformer.run.entry import compose


def config(*changes: str) -> ChainConfig:
    return ChainConfig.parse(compose("mcuformer", changes, ChainConfig))


def test_expected_seconds_are_steps_and_evaluations() -> None:
    search = ["space_search.max_visits=6", "space_search.visit_epochs=10"]
    search += ["space_search.accuracy_subnets=4", "strategy.population=30", "strategy.mutants=10"]
    search += ["strategy.crossovers=10", "strategy.generations=5"]
    training = ["train.epochs=70", "train.batch_size=64", "finetune.epochs=9"]
    training += ["evaluator=inherited"]
    speed = Speed(supernet_step=0.5, network_step=0.25, evaluation=0.001)
    found = expected_seconds(
        config(*search, *training, "finetune.batch_size=32"), Counts(650, 100, 20), speed
    )
    overhead = 5.0
    assert found["evolve.space"] == pytest.approx(overhead + 6 * (10 * 10 * 0.5 + 4 * 100 * 0.001))
    assert found["supernet.train"] == pytest.approx(overhead + 60 * (10 * 0.5 + 7 * 100 * 0.001))
    assert found["evolve.search"] == pytest.approx(overhead + 30 * 5 * 100 * 0.001)
    assert found["evolve.finetune"] == pytest.approx(overhead + 9 * 23 * 0.25)
    twice = expected_seconds(
        config(*search, *training, "finetune.batch_size=32", "rounds=2"),
        Counts(650, 100, 20),
        speed,
    )
    for name in ("evolve.space", "supernet.train", "evolve.search"):
        assert twice[name] - overhead == pytest.approx(2 * (found[name] - overhead))
    assert twice["evolve.finetune"] == found["evolve.finetune"]
    warm = expected_seconds(
        config(*search, *training, "finetune.batch_size=32", "warm_start_epochs=7"),
        Counts(650, 100, 20),
        speed,
    )
    assert warm["evolve.space"] == pytest.approx(found["evolve.space"] + 7 * 10 * 0.5)
    assert warm["supernet.train"] == pytest.approx(overhead + 70 * (10 * 0.5 + 7 * 100 * 0.001))
    shared = expected_seconds(
        config(*search, *training, "finetune.batch_size=32"), Counts(650, 100, 20), speed, 8
    )
    for name in found:
        alone = name in ("evolve.finetune", "oplib.export", "report")
        parts = 1 if alone else 8
        assert shared[name] == pytest.approx(overhead + (found[name] - overhead) / parts)
    assert 10 < found["oplib.export"] < found["report"] + 1 < 30
    joint = expected_seconds(config(*search, *training, "axes=all"), Counts(650, 100, 20), speed)
    assert "evolve.space" not in joint
    assert joint["supernet.train"] == pytest.approx(overhead + 70 * (10 * 0.5 + 7 * 100 * 0.001))


def test_visits_follow_the_grid() -> None:
    """A third of 30 points is 10 visits; digits' visits train for 10 epochs."""
    ratios = "space.rank_ratio=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0]"
    grid = config(ratios, "space.patch_size=[2,4,8]", "space_search.accuracy_subnets=4")
    assert space_search_line(grid) == (
        "space search: at most 10 visits of 10 epochs, in a grid of 30 points"
    )
    speed = Speed(supernet_step=0.5, network_step=0.25, evaluation=0.001)
    found = expected_seconds(grid, Counts(10 * grid.train.batch_size, 100, 20), speed)
    assert found["evolve.space"] == pytest.approx(5.0 + 10 * (10 * 10 * 0.5 + 4 * 100 * 0.001))


def test_short_trainings_and_a_predictor_take_their_time() -> None:
    search = ["strategy.population=30", "strategy.mutants=10", "strategy.crossovers=10"]
    search += ["strategy.generations=5"]
    counts = Counts(650, 100, 20)
    speed = Speed(supernet_step=0.5, network_step=0.25, evaluation=0.001)
    recipe = ["recipe.epochs=3", "recipe.batch_size=32"]

    def seconds(name: str, *settings: str) -> float:
        evaluator = [f"evaluator={name}", *(f"evaluator.{setting}" for setting in settings)]
        return expected_seconds(config(*search, *evaluator), counts, speed)["evolve.search"] - 5.0

    one = 3 * 20 * 0.25 + 100 * 0.001  # 650 // 32 steps per epoch
    assert seconds("finetuned", *recipe) == pytest.approx(30 * 5 * one)
    sizes = ["samples=20", "rounds=2", "chosen=5", "pool=40"]
    sizes += [f"base.{setting}" for setting in recipe]
    assert seconds("predictor", *sizes) == pytest.approx((20 + 2 * 5) * one)
    inherited = (30 * 5 + 20 + 2 * (5 + 40)) * 100 * 0.001
    measured = seconds("predictor", *sizes, "inherited=true")
    assert measured == pytest.approx((20 + 2 * 5) * one + inherited)


def test_the_middle_and_the_most_expensive_point_are_measured() -> None:
    space = config("space.rank_ratio=[0.5,1.0]", "space.patch_size=[1,2,4]").space
    assert [point.name for point in measured_points(space)] == ["r1.00_p2", "r1.00_p1"]
    one = config("space.rank_ratio=[1.0]", "space.patch_size=[2]").space
    assert len(measured_points(one)) == 1
