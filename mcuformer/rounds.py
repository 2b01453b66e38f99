"""Rounds of the chain: space search and subnet search by turns, until nothing changes.

Source: MCUFormer, section 3.1: both steps repeat until they converge or the budget is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve.search import SEARCH
from evolve.space import SPACE
from mcuformer.chain import ChainConfig, stage_config, stages
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import (
    canonical_json,
    digest,
    parsing,
    read_json,
    read_value,
    write_json,
)
from mcuformer.run.chosen_point import read_point
from mcuformer.run.command import Command
from mcuformer.run.progress import say
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from supernet.train import TRAIN

REPEATED: tuple[Command[Any], ...] = (SPACE, TRAIN, SEARCH)


class Round(Value):
    """What a round found.

    Args:
        max_visits: visits that its space search was allowed, those of earlier rounds included.
        point: name of the point that the space search chose; null if all axes are searched.
        subnet: key of the subnet that the subnet search found.
        seconds: duration of each stage, by name.
    """

    max_visits: int
    point: str | None
    subnet: str
    seconds: dict[str, float]

    @property
    def found(self) -> tuple[str | None, str]:
        """What the next round may change."""
        return self.point, self.subnet


def check_rounds(config: ChainConfig) -> None:
    """Refuse rounds without a space search.

    Raises:
        ConfigError: all axes are searched at once.
    """
    if config.rounds > 1 and config.axes == "all":
        raise ConfigError(
            "axes=all has no space search that could take turns with the subnet search",
            where="rounds",
            got=config.rounds,
            expected="1",
        )


def run_rounds(config: ChainConfig) -> list[Round]:
    """Run space search, supernet training and subnet search, again and again if asked to.

    Every round allows the space search `max_visits` visits more. The rounds end when one finds the
    point and the subnet of the round before, or after `config.rounds`. They are recorded, so an
    interrupted run continues with the round that it was in, and a finished one repeats nothing.

    Returns:
        The rounds. The run directory holds what the last one found.
    """
    rounds = [] if config.overwrite else recorded_rounds(config)
    if ended(config, rounds):
        rounds.pop()  # its stages are complete, or else they run again
    while not ended(config, rounds):
        number = len(rounds) + 1
        if config.rounds > 1:
            say(f"round {number} of at most {config.rounds}")
        rounds.append(_run_round(of_round(config, number)))
        if config.rounds > 1:
            content = {"of": identity(config), "rounds": [entry.dump() for entry in rounds]}
            write_json(rounds_file(config), "rounds", content)
    if config.rounds > 1:
        settled = "changed nothing" if converged(rounds) else "was the last allowed"
        say(f"round {len(rounds)} {settled}: {rounds[-1].point}, subnet {rounds[-1].subnet}")
    return rounds


def latest(config: ChainConfig) -> ChainConfig:
    """Return the settings of the newest recorded round, or of the first."""
    return of_round(config, max(1, len(recorded_rounds(config))))


def of_round(config: ChainConfig, number: int) -> ChainConfig:
    """Return the settings of a round, counted from 1."""
    if number == 1:
        return config
    search = config.space_search
    visits = number * search.visits(config.space.shape)
    longer = search.model_copy(update={"max_visits": visits})
    return config.model_copy(update={"space_search": longer})


def recorded_rounds(config: ChainConfig) -> list[Round]:
    """Return the finished rounds of this run, none if they are of other settings or data.

    Raises:
        ArtifactError: ``rounds.json`` is damaged.
    """
    path = rounds_file(config)
    if config.rounds == 1 or not path.exists():
        return []
    content = read_json(path, "rounds")
    with parsing(path):
        if content["of"] != identity(config):
            return []
        return [Round.parse(entry, where=str(path)) for entry in content["rounds"]][: config.rounds]


def identity(config: ChainConfig) -> str:
    """Return the digest of everything that the rounds depend on, apart from their number."""
    space = config.run.fingerprint(SPACE.stage(stage_config(SPACE, config)))
    train, search = stage_config(TRAIN, config), stage_config(SEARCH, config)
    return digest(canonical_json([space, train.content(), search.content()]).encode())


def rounds_file(config: ChainConfig) -> Path:
    """Return the file that records the rounds."""
    return config.run.file("rounds.json")


def converged(rounds: Sequence[Round]) -> bool:
    """Return whether the last round found what the one before had found."""
    return len(rounds) > 1 and rounds[-1].found == rounds[-2].found


def ended(config: ChainConfig, rounds: Sequence[Round]) -> bool:
    """Return whether no round follows."""
    return len(rounds) >= config.rounds or converged(rounds)


def _run_round(config: ChainConfig) -> Round:
    commands = [command for command in REPEATED if command in stages(config)]
    for command in commands:
        command.execute_locked(stage_config(command, config))
    run = config.run
    return Round(
        max_visits=config.space_search.visits(config.space.shape),
        point=read_point(run.file("space.json")).name if SPACE in commands else None,
        subnet=read_value(run.file("subnet.json"), "subnet", SubnetConfig).key,
        seconds={command.name: run.seconds(command.name) for command in commands},
    )
