"""Rounds end when nothing changes, continue after an interruption, and repeat nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer import rounds
from mcuformer.chain import ChainConfig
from mcuformer.errors import ConfigError
from mcuformer.rounds import Round, check_rounds, latest, run_rounds
from mcuformer.run.entry import compose

SECONDS = {"evolve.space": 2.0, "supernet.train": 1.0, "evolve.search": 3.0}


class Rounds:
    """Stands for the three stages: finds a point and a subnet per round, or is interrupted."""

    def __init__(self, *found: str) -> None:
        self.found, self.visits = iter(found), list[int]()

    def __call__(self, config: ChainConfig) -> Round:
        self.visits.append(config.space_search.max_visits)
        found = next(self.found)
        if found == "interrupted":
            raise KeyboardInterrupt
        return Round(max_visits=self.visits[-1], point=found[0], subnet=found, seconds=SECONDS)


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    return [f"run_dir={tmp_path}", "space_search.max_visits=4", "rounds=5"]


def parse(settings: list[str], *more: str) -> ChainConfig:
    return ChainConfig.parse(compose("mcuformer", [*settings, *more], ChainConfig))


def run(
    monkeypatch: pytest.MonkeyPatch, config: ChainConfig, *found: str
) -> tuple[list[int], list[str]]:
    """Return the visits of each round that was run, and the subnets of all rounds."""
    fake = Rounds(*found)
    monkeypatch.setattr(rounds, "_run_round", fake)
    try:
        return fake.visits, [entry.subnet for entry in run_rounds(config)]
    except KeyboardInterrupt:
        return fake.visits, []


def test_rounds_end_when_point_and_subnet_stay(
    monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    config = parse(settings)
    assert run(monkeypatch, config, "a1", "b1", "b2", "b2", "c1") == (
        [4, 8, 12, 16],
        ["a1", "b1", "b2", "b2"],
    )
    assert latest(config).space_search.max_visits == 16
    assert run(monkeypatch, config, "b2") == ([16], ["a1", "b1", "b2", "b2"])  # complete stages
    assert run(monkeypatch, parse(settings, "seed=1"), "a1", "a1") == ([4, 8], ["a1", "a1"])


def test_an_interrupted_run_continues_with_its_round(
    monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    few = parse(settings, "rounds=3")
    assert run(monkeypatch, few, "a1", "b1", "interrupted") == ([4, 8, 12], [])
    assert run(monkeypatch, few, "c1") == ([12], ["a1", "b1", "c1"])
    assert run(monkeypatch, parse(settings), "c2", "c2") == (
        [16, 20],
        ["a1", "b1", "c1", "c2", "c2"],
    )
    assert run(monkeypatch, parse(settings, "overwrite=true"), "a1", "a1") == ([4, 8], ["a1", "a1"])


def test_one_round_keeps_no_record(monkeypatch: pytest.MonkeyPatch, settings: list[str]) -> None:
    config = parse(settings, "rounds=1")
    assert run(monkeypatch, config, "a1") == ([4], ["a1"])
    assert list(config.run.path.iterdir()) == []


def test_rounds_without_a_space_search_are_refused(settings: list[str]) -> None:
    check_rounds(parse(settings))
    with pytest.raises(ConfigError, match=r"rounds: axes=all has no space search"):
        check_rounds(parse(settings, "axes=all"))
