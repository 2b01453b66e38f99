"""What a plan expects, by hand; tests/supernet/test_speed.py tests the measurement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcuformer.chain import ChainConfig
from mcuformer.plan import (
    Counts,
    Speed,
    emulated_seconds,
    expected_seconds,
    mean_over_points,
    measured_networks,
    measured_points,
    space_search_line,
)
from mcuformer.run.entry import compose

SPEED = Speed(
    supernet_step=0.5, network_step=0.25, candidate_step=0.125, evaluation=0.001, picture=0.0
)


def config(*changes: str) -> ChainConfig:
    return ChainConfig.parse(compose("mcuformer", changes, ChainConfig))


def test_expected_seconds_are_steps_and_evaluations() -> None:
    search = ["space_search.max_visits=6", "space_search.visit_epochs=10"]
    search += ["space_search.accuracy_subnets=4", "strategy.population=30", "strategy.mutants=10"]
    search += ["strategy.crossovers=10", "strategy.generations=5"]
    training = ["train.epochs=70", "train.batch_size=64", "finetune.epochs=9"]
    training += ["evaluator=inherited"]
    found = expected_seconds(
        config(*search, *training, "finetune.batch_size=32"), Counts(650, 100, 20), SPEED
    )
    overhead, first = 2.0, 10.0  # of every stage, and of the first
    assert found["evolve.space"] == pytest.approx(
        overhead + first + 6 * (10 * 10 * 0.5 + 4 * 100 * 0.001)
    )
    assert found["supernet.train"] == pytest.approx(overhead + 60 * (10 * 0.5 + 7 * 100 * 0.001))
    assert found["evolve.search"] == pytest.approx(overhead + 30 * 5 * 100 * 0.001)
    assert found["evolve.finetune"] == pytest.approx(overhead + 9 * (23 * 0.25 + 100 * 0.001))
    twice = expected_seconds(
        config(*search, *training, "finetune.batch_size=32", "rounds=2"),
        Counts(650, 100, 20),
        SPEED,
    )
    own = {name: overhead + (first if name == "evolve.space" else 0.0) for name in found}
    for name in ("evolve.space", "supernet.train", "evolve.search"):
        assert twice[name] - own[name] == pytest.approx(2 * (found[name] - own[name]))
    assert twice["evolve.finetune"] == found["evolve.finetune"]
    warm = expected_seconds(
        config(*search, *training, "finetune.batch_size=32", "warm_start_epochs=7"),
        Counts(650, 100, 20),
        SPEED,
    )
    assert warm["evolve.space"] == pytest.approx(found["evolve.space"] + 7 * 10 * 0.5)
    assert warm["supernet.train"] == pytest.approx(overhead + 70 * (10 * 0.5 + 7 * 100 * 0.001))
    shared = expected_seconds(
        config(*search, *training, "finetune.batch_size=32"), Counts(650, 100, 20), SPEED, 8
    )
    for name in found:
        alone = name in ("evolve.finetune", "oplib.export", "report")
        parts = 1 if alone else 8
        assert shared[name] == pytest.approx(own[name] + (found[name] - own[name]) / parts)
    joint = expected_seconds(config(*search, *training, "axes=all"), Counts(650, 100, 20), SPEED)
    assert "evolve.space" not in joint
    assert joint["supernet.train"] == pytest.approx(
        overhead + first + 70 * (10 * 0.5 + 7 * 100 * 0.001)
    )


def test_visits_follow_the_grid() -> None:
    """A third of 30 points is 10 visits; digits' visits train for 10 epochs."""
    ratios = "space.rank_ratio=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0]"
    grid = config(ratios, "space.patch_size=[2,4,8]", "space_search.accuracy_subnets=4")
    assert space_search_line(grid) == (
        "space search: at most 10 visits of 10 epochs, in a grid of 30 points"
    )
    found = expected_seconds(grid, Counts(10 * grid.train.batch_size, 100, 20), SPEED)
    assert found["evolve.space"] == pytest.approx(12.0 + 10 * (10 * 10 * 0.5 + 4 * 100 * 0.001))


def test_short_trainings_and_a_predictor_take_their_time() -> None:
    search = ["strategy.population=30", "strategy.mutants=10", "strategy.crossovers=10"]
    search += ["strategy.generations=5"]
    counts = Counts(650, 100, 20)
    recipe = ["recipe.epochs=3", "recipe.batch_size=32"]

    def seconds(name: str, *settings: str) -> float:
        evaluator = [f"evaluator={name}", *(f"evaluator.{setting}" for setting in settings)]
        return expected_seconds(config(*search, *evaluator), counts, SPEED)["evolve.search"] - 2.0

    one = 3 * 20 * 0.125 + 100 * 0.001  # 650 // 32 steps per epoch
    assert seconds("finetuned", *recipe) == pytest.approx(30 * 5 * one)
    sizes = ["samples=20", "rounds=2", "chosen=5", "pool=40"]
    sizes += [f"base.{setting}" for setting in recipe]
    assert seconds("predictor", *sizes) == pytest.approx((20 + 2 * 5) * one)
    inherited = (30 * 5 + 20 + 2 * (5 + 40)) * 100 * 0.001
    measured = seconds("predictor", *sizes, "inherited=true")
    assert measured == pytest.approx((20 + 2 * 5) * one + inherited)


def test_a_selector_that_does_not_train_visits_nothing() -> None:
    """The chosen point's supernet is then trained for all of its epochs by supernet.train."""
    largest = config("space_search=largest", "train.epochs=70", "space_search.accuracy_subnets=4")
    assert space_search_line(largest) == (
        "space search: by sizes, without training, in a grid of 16 points"
    )
    found = expected_seconds(largest, Counts(650, 100, 20), SPEED)
    assert found["evolve.space"] == 12.0
    assert found["supernet.train"] == pytest.approx(2.0 + 70 * (10 * 0.5 + 7 * 100 * 0.001))


def test_the_first_stage_decodes_the_pictures_of_all_parts() -> None:
    slow = replace(SPEED, picture=0.1)
    counts = Counts(650, 100, 20)
    for settings in ([], ["axes=all"]):
        chain = config(*settings)
        without, found = (expected_seconds(chain, counts, speed) for speed in (SPEED, slow))
        first, *others = found
        assert found[first] == pytest.approx(without[first] + 770 * 0.1)
        assert all(found[name] == without[name] for name in others)


def test_emulation_takes_the_instructions_of_the_core() -> None:
    """Of the largest network that fits: 3 instructions per multiply-accumulate on M3, 1.3 on M7."""
    for device, per_mac in (("stm32f100", 3.0), ("stm32f746", 1.3)):
        chain = config(f"device={device}", "space=digits", "export.check_images=20")
        [*_, largest] = networks = measured_networks(chain)
        assert all(chain.target.admits(network) for network in networks)
        assert [n.macs for n in networks] == sorted(n.macs for n in networks)
        seconds = largest.macs * per_mac / 500e6
        assert emulated_seconds(chain) == pytest.approx(seconds)
        found = expected_seconds(chain, Counts(650, 100, 50), SPEED)
        assert found["oplib.export"] == pytest.approx(2.0 + 3.0 + 20 * seconds)
        assert found["report"] == pytest.approx(2.0 + 3.0 + 50 * (seconds + 4 * 0.001))


def test_times_are_linear_in_the_work_of_a_point() -> None:
    """Two points are measured, and the mean over all four is that of a line through them."""
    space = config("space.rank_ratio=[0.5,1.0]", "space.patch_size=[1,2]").space
    macs = {point: space.largest(point).macs for point in space.points()}
    smallest, largest = min(macs, key=macs.__getitem__), max(macs, key=macs.__getitem__)
    line = {point: 0.1 + 1e-8 * work for point, work in macs.items()}
    ends = {point: line[point] for point in (largest, smallest)}
    assert mean_over_points(space, ends) == pytest.approx(sum(line.values()) / 4)
    assert mean_over_points(space, {smallest: 0.3}) == 0.3
    assert mean_over_points(space, {smallest: 0.3, largest: 0.2}) == 0.3  # noise is no slope


def test_the_middle_and_the_most_expensive_point_are_measured() -> None:
    space = config("space.rank_ratio=[0.5,1.0]", "space.patch_size=[1,2,4]").space
    assert [point.name for point in measured_points(space)] == ["r1.00_p2", "r1.00_p1"]
    one = config("space.rank_ratio=[1.0]", "space.patch_size=[2]").space
    assert len(measured_points(one)) == 1
