"""``python -m evolve.search``: find the most accurate subnet that fits the budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evolve.space_search.quality import check_feasible
from evolve.subnet_search.evolution import Candidate, EvolutionConfig, evolve
from evolve.subnet_search.population import Variation
from mcuformer import __version__
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.artifact import (
    RunDir,
    Stage,
    file_digest,
    parsing,
    read_json,
    save_arrays,
    write_bytes,
    write_json,
)
from mcuformer.run.chosen_point import read_point
from mcuformer.run.command import Command
from mcuformer.run.progress import say, track
from mcuformer.run.threads import run_threads
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import TargetSettings

if TYPE_CHECKING:
    from evolve.subnet_search.study import Study
    from supernet.model import Supernet


class SearchConfig(TargetSettings):
    """Configuration of the subnet search.

    Args:
        data: data set; its steering split measures accuracy.
        strategy: settings of the evolution.
    """

    data: DataConfig
    strategy: EvolutionConfig


def stage(config: SearchConfig) -> Stage:
    """Return what the command reads and writes."""
    inputs = [config.run.file(name) for name in ("supernet.json", "supernet.safetensors")]
    outputs = ("subnet.json", "weights.safetensors", "search.jsonl")
    return Stage(SEARCH.name, config.content(), [*inputs, *config.data.files()], outputs)


@dataclass(frozen=True)
class SearchedPoint:
    """The space point that is searched.

    Args:
        space: search space of the supernet.
        point: point whose subnets are searched.
        joint: whether the supernet holds all points.
    """

    space: SearchSpace
    point: SpacePoint
    joint: bool

    @classmethod
    def of_run(cls, run: RunDir) -> SearchedPoint:
        """Read the point from the supernet or, if that is joint, from the space search's choice.

        Raises:
            ArtifactError: ``supernet.json`` or ``space.json`` is missing or damaged.
            ConfigError: a value in one of them is wrong.
        """
        supernet_file, space_file = run.file("supernet.json"), run.file("space.json")
        content = read_json(supernet_file, "supernet")
        with parsing(supernet_file):
            space = SearchSpace.parse(content["space"], where=str(supernet_file))
            if content["point"] is not None:
                point = SpacePoint.parse(content["point"], where=str(supernet_file))
                return cls(space, point, joint=False)
        return cls(space, read_point(space_file), joint=True)


def search(config: SearchConfig) -> None:
    """Search; write ``subnet.json``, its inherited weights and ``search.jsonl``.

    A joint supernet is searched at the point of ``space.json``. The evolution depends only on the
    seed and on accuracies. So an interrupted search, run again, proposes the same subnets and takes
    from its study what was evaluated before.

    Raises:
        ArtifactError: the supernet or the study is missing or damaged.
        BudgetError: no subnet of the point fits.
    """
    searched, target = SearchedPoint.of_run(config.run), config.target
    space, point = searched.space, searched.point
    check_feasible([point], space, target.cost, target.limit)
    dataset = load(config.data, space.smallest(point).img_size)
    supernet = _load_supernet(config, searched, dataset.preprocessing)

    from supernet.checkpoint import model_arrays
    from supernet.evaluate import accuracy_percent
    from supernet.extract import extract

    def measure(subnet: SubnetConfig) -> Candidate:
        cost = target.cost(subnet)
        accuracy = accuracy_percent(
            lambda x: supernet(x, subnet), dataset.steering, dataset.preprocessing
        )
        memory = cost.footprint
        return Candidate(subnet, accuracy, memory.sram_bytes, memory.flash_bytes, cost.ms_high)

    study = _open_study(config, searched, dataset)
    lines: list[str] = []

    def journal(generation: int, candidates: list[Candidate]) -> None:
        lines.extend(json.dumps({"generation": generation, **_row(c)}) for c in candidates)

    best = _evolved(config, searched, lambda s: study.evaluated(s, measure), journal)
    time = "not modelled" if best.ms_high is None else f"at most {best.ms_high:,.1f} ms (modelled)"
    say(
        f"best of {len(lines)} subnets: {best.accuracy_percent:.2f} % on steering data, "
        f"{best.sram_bytes} bytes of SRAM, {best.flash_bytes} of flash, time {time}"
    )
    write_bytes(config.run.file("search.jsonl"), "".join(line + "\n" for line in lines).encode())
    vit = extract(supernet, best.subnet)
    save_arrays(config.run.file("weights.safetensors"), model_arrays(vit))
    write_json(config.run.file("subnet.json"), "subnet", vit.subnet.dump())


def _load_supernet(
    config: SearchConfig, searched: SearchedPoint, preprocessing: Preprocessing
) -> Supernet:
    """Load the run's trained supernet."""
    import torch

    from supernet.checkpoint import load_model
    from supernet.data import pad_value
    from supernet.model import Supernet

    torch.set_num_threads(run_threads(config.run, config.threads))
    point = None if searched.joint else searched.point
    supernet = Supernet(searched.space, point, pad_value(preprocessing))
    load_model(supernet, config.run.file("supernet.safetensors"))
    return supernet


def _open_study(config: SearchConfig, searched: SearchedPoint, dataset: Dataset) -> Study:
    """Open the study of everything that an evaluation depends on, apart from its subnet."""
    import torch

    from evolve.subnet_search.study import Study

    identity = {
        "version": __version__,
        "point": searched.point.dump(),
        "space": searched.space.dump(),
        "supernet": file_digest(config.run.file("supernet.safetensors")),
        "steering": dataset.steering.digest,
        "preprocessing": dataset.preprocessing.dump(),
        "target": config.target.identity(),
    }
    conditions = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    path = config.run.file("search/journal.log")
    return Study(path, identity, searched.space, conditions, anew=config.overwrite)


def _evolved(
    config: SearchConfig,
    searched: SearchedPoint,
    evaluate: Callable[[SubnetConfig], Candidate],
    journal: Callable[[int, list[Candidate]], None],
) -> Candidate:
    """Return the best subnet that the configured evolution finds."""
    settings = config.strategy
    variation = Variation(
        searched.space,
        searched.point,
        config.target.admits,
        settings.depth_probability,
        settings.embed_dim_probability,
        settings.block_probability,
    )
    generations = track(range(settings.generations), "subnet search")
    rng = stream(config.seed, "search")
    return evolve(settings, variation, evaluate, rng, generations, journal)


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "accuracy_percent": candidate.accuracy_percent,
        "sram_bytes": candidate.sram_bytes,
        "flash_bytes": candidate.flash_bytes,
        "ms_high": candidate.ms_high,
        "subnet": candidate.subnet.dump(),
    }


SEARCH = Command("evolve.search", SearchConfig, stage, search)


if __name__ == "__main__":
    sys.exit(SEARCH.main())
