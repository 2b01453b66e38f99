"""``python -m evolve.space``: move through the search space to the point that suits the budget."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.space_search.history import History, Index, Visit
from evolve.space_search.quality import (
    Admission,
    check_feasible,
    mean_accuracy,
    measure_admission,
    sample_point,
    score,
)
from evolve.space_search.selectors import SelectorConfig, select_point
from mcuformer import __version__
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.pictures import draw_space_search
from mcuformer.run.artifact import (
    Stage,
    canonical_json,
    digest,
    locked,
    read_json,
    write_bytes,
    write_json,
)
from mcuformer.run.command import Command
from mcuformer.run.progress import say
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target, TargetSettings
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig

if TYPE_CHECKING:
    from supernet.model import Supernet
    from supernet.task import Task


class EvolveSpaceConfig(TargetSettings):
    """Configuration of the space search.

    Args:
        points_dir: recovery points; concurrent jobs may share it.
    """

    points_dir: str
    data: DataConfig
    space: SearchSpace
    recipe: Recipe
    sampling: SamplingConfig
    space_search: SelectorConfig


def check(config: EvolveSpaceConfig) -> Target:
    """Return the target, after checking that a search makes sense at all.

    Raises:
        BudgetError: no subnet of the space fits.
        DataError: the space's networks take other images or classes.
        ConfigError: the selector cannot work on this grid.
    """
    target = config.target
    config.data.check_network(config.space.smallest(config.space.points()[0]))
    config.space_search.check(config.space.shape)
    if config.space_search.name == "joint" and len(config.space.img_size) > 1:
        raise ConfigError("a joint supernet takes one image size", where="space.img_size")
    check_feasible(config.space.points(), config.space, target.cost, target.limit)
    return target


def stage(config: EvolveSpaceConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        BudgetError, ConfigError: as :func:`check`, before anything is made.
    """
    check(config)
    outputs = ("space.json", "space_search.jsonl", "space_search.png")
    return Stage(SPACE.name, config.content(), config.data.files(), outputs)


@dataclass
class SpaceLandscape:
    """The real landscape: supernets are trained, subnets measured on the steering split."""

    config: EvolveSpaceConfig
    target: Target
    history: History = field(default_factory=History)
    admissions: dict[Index, tuple[Admission, list[SubnetConfig]]] = field(default_factory=dict)
    datasets: dict[int, Dataset] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices of each axis."""
        return self.config.space.shape

    def admission(self, index: Index) -> tuple[Admission, list[SubnetConfig]]:
        """Return how many sampled subnets of a point the budget admits, and these."""
        if index not in self.admissions:
            config, point = self.config, self.config.space.point_at(index)
            rng = stream(config.seed, "quality", point.name)
            subnets = sample_point(config.space, point, config.space_search.num_samples, rng)
            self.admissions[index] = measure_admission(subnets, self.target.cost, self.target.limit)
        return self.admissions[index]

    def admitted_macs(self, index: Index) -> list[int]:
        """Return the multiply-accumulates of the admitted subnets."""
        return [subnet.macs for subnet in self.admission(index)[1]]

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Train the point T0 more epochs, score it, and record the visit."""
        point = self.config.space.point_at(index)
        epochs = self.history.epochs(index) + self.config.space_search.visit_epochs
        chosen = self._measured_subnets(index)
        accuracy = self._accuracy(point, epochs, chosen) if chosen else None
        visit = self._scored(index, epochs if chosen else 0, accuracy, rule, fit)
        self.history.add(visit)
        text = "no subnet fits" if visit.score is None else f"Q = {visit.score:.2f}"
        rho = visit.admitted_fraction
        say(f"visit {len(self.history)}: {point.name} ({rule}): {text}, rho {rho:.2f}")
        return visit

    def _scored(
        self,
        index: Index,
        epochs: int,
        accuracy: float | None,
        rule: str,
        fit: dict[str, Any] | None,
    ) -> Visit:
        admission, admitted = self.admission(index)
        costs = [self.target.cost(subnet).sram_bytes for subnet in admitted]
        weight = self.config.space_search.lambda_rho
        return Visit(
            index=index,
            epochs=epochs,
            admitted_fraction=admission.fraction,
            accuracy_percent=accuracy,
            score=None if accuracy is None else score(accuracy, admission.fraction, weight),
            sram_bytes=float(np.mean(costs)) if costs else None,
            rule=rule,
            fit=fit,
        )

    def _dataset(self, img_size: int) -> Dataset:
        if img_size not in self.datasets:
            self.datasets[img_size] = load(self.config.data, img_size)
        return self.datasets[img_size]

    def _accuracy(self, point: SpacePoint, epochs: int, chosen: list[SubnetConfig]) -> float:
        """Train until `epochs`, once for all jobs that share the recovery points, and measure."""
        dataset = self._dataset(chosen[0].img_size)
        task = self._task(point, dataset)
        measured = [__version__, dataset.steering.digest, *(subnet.key for subnet in chosen)]
        key = digest(canonical_json(measured).encode())
        cached = task.directory / f"accuracy_{epochs:04d}_{key[:8]}.json"
        with locked(task.directory, wait=True):
            if not cached.exists():
                accuracy = _mean_accuracy(_trained(task, epochs), chosen, dataset)
                write_json(cached, "accuracy", {"accuracy_percent": accuracy})
            return float(read_json(cached, "accuracy")["accuracy_percent"])

    def _task(self, point: SpacePoint | None, dataset: Dataset) -> Task[Supernet]:
        import torch

        from supernet.task import SupernetSetting, supernet_task

        config = self.config
        torch.set_num_threads(config.threads)
        setting = SupernetSetting(
            config.recipe,
            config.sampling,
            config.seed,
            Path(config.points_dir),
            self.target,
        )
        return supernet_task(config.space, point, dataset, setting)

    def train_jointly(self, epochs: int) -> list[Visit]:
        """Train one supernet over all points, then score each point with its weights."""
        dataset = self._dataset(self.config.space.img_size[0])
        task = self._task(None, dataset)
        with locked(task.directory, wait=True):
            model = _trained(task, epochs)
        for index in np.ndindex(*self.shape):
            chosen = self._measured_subnets(index)
            accuracy = _mean_accuracy(model, chosen, dataset) if chosen else None
            self.history.add(self._scored(index, epochs, accuracy, "joint", None))
        return self.history.visits

    def _measured_subnets(self, index: Index) -> list[SubnetConfig]:
        """Return the admitted subnets whose mean accuracy scores a point."""
        return self.admission(index)[1][: self.config.space_search.accuracy_subnets]


def _trained(task: Task[Supernet], epochs: int) -> Supernet:
    """Train until `epochs` are finished, from the recovery point where there is one."""
    from supernet.trainer import train

    return train(task, epochs, f"training {task.directory.name}").model


def _mean_accuracy(model: Supernet, subnets: list[SubnetConfig], dataset: Dataset) -> float:
    """Return the mean accuracy of subnets under a supernet's weights, on the steering split."""
    from supernet.evaluate import accuracy_percent

    return mean_accuracy(
        subnets,
        lambda s: accuracy_percent(lambda x: model(x, s), dataset.steering, dataset.preprocessing),
    )


def evolve_space(config: EvolveSpaceConfig) -> None:
    """Search the space and write ``space.json``, its journal and its picture.

    Raises:
        BudgetError, ConfigError: as :func:`check`.
    """
    landscape = SpaceLandscape(config, check(config))
    fractions = {i: landscape.admission(i)[0].fraction for i in np.ndindex(*landscape.shape)}
    if not any(fractions.values()):
        raise BudgetError(
            f"none of {config.space_search.num_samples} sampled subnets fits at any point; sample "
            "more, or widen budget or space",
            where="space_search.num_samples",
        )
    rng = stream(config.seed, "space_search")
    chosen = select_point(config.space_search, landscape, rng)
    visits = landscape.history.visits
    rows = [
        {**v.dump(), "point": config.space.point_at(v.index).dump(), **_admission(landscape, v)}
        for v in visits
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_bytes(config.run.file("space_search.jsonl"), lines.encode())
    picture = draw_space_search(config.space, [v.dump() for v in visits], chosen, fractions)
    write_bytes(config.run.file("space_search.png"), picture)
    point = config.space.point_at(chosen)
    trained = sum(visit.score is not None for visit in visits)
    spent, own = trained * config.space_search.visit_epochs, landscape.history.epochs(chosen)
    if config.space_search.name == "joint":  # none of it went into the point's own supernet
        spent, own = config.space_search.max_visits * config.space_search.visit_epochs, 0
    content = {
        "point": point.dump(),
        "selector": config.space_search.name,
        "visits": len(visits),
        "search_epochs": spent,
        "point_epochs": own,
    }
    write_json(config.run.file("space.json"), "space", content)
    say(f"chosen: {point.name} after {len(visits)} visits")


def _admission(landscape: SpaceLandscape, visit: Visit) -> dict[str, Any]:
    return {"admission": landscape.admission(visit.index)[0].dump()}


SPACE = Command("evolve.space", EvolveSpaceConfig, stage, evolve_space)


if __name__ == "__main__":
    sys.exit(SPACE.main())
