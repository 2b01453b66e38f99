"""The landscape of a real space: supernets are trained, and subnets measured on steering data.

Several processes, which torchrun starts, train each supernet together and share the subnets to
measure; the first one alone writes files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.space_search.history import History, Index, Visit
from evolve.space_search.quality import (
    Admission,
    measure_admission,
    sample_point,
    score,
)
from evolve.space_search.scale import Amounts, amounts
from evolve.space_search.selectors import SelectorConfig
from mcuformer import __version__
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.limits import EpochsOrNone, PathText
from mcuformer.run.artifact import (
    canonical_json,
    digest,
    parsing,
    read_json,
    write_json,
)
from mcuformer.run.progress import say
from mcuformer.run.threads import run_threads
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target, TargetSettings
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig

if TYPE_CHECKING:
    from supernet.evaluate import PreparedSplit
    from supernet.model import Supernet
    from supernet.processes import Processes
    from supernet.task import Task


class EvolveSpaceConfig(TargetSettings):
    """Configuration of the space search.

    Args:
        points_dir: directory of recovery points; concurrent jobs may share it.
        data: data set; its steering split measures accuracy.
        space: search space.
        recipe: how the supernets are trained.
        sampling: which subnets a training step visits.
        space_search: selector of the point, with its settings.
        warm_start_epochs: epochs of a joint supernet, trained once, that the supernet of every
            visited point starts from; 0 is off.
    """

    points_dir: PathText
    data: DataConfig
    space: SearchSpace
    recipe: Recipe
    sampling: SamplingConfig
    space_search: SelectorConfig
    warm_start_epochs: EpochsOrNone = 0


@dataclass
class SpaceLandscape:
    """The real landscape, which trains supernets and measures subnets on the steering split.

    Args:
        config: configuration of the search.
        target: device, budget and forms.
        history: visits so far.
        admissions: counts and admitted subnets by point, filled on demand.
        datasets: data by image size, filled on demand.
        origin: weights that all points start from, trained on demand; see `warm_start_epochs`.
    """

    config: EvolveSpaceConfig
    target: Target
    history: History = field(default_factory=History)
    admissions: dict[Index, tuple[Admission, list[SubnetConfig]]] = field(default_factory=dict)
    datasets: dict[int, Dataset] = field(default_factory=dict)
    origin: Path | None = None

    @cached_property
    def processes(self) -> Processes:
        """This process, or those that torchrun started."""
        from supernet.processes import Processes

        return Processes()

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices per axis."""
        return self.config.space.shape

    @property
    def axes(self) -> Amounts:
        """What the choices of each axis amount to."""
        return amounts(self.config.space)

    def admission(self, index: Index) -> tuple[Admission, list[SubnetConfig]]:
        """Sample subnets of a point; return how many the budget refuses, and those it admits."""
        if index not in self.admissions:
            config, point = self.config, self.config.space.point_at(index)
            rng = stream(config.seed, "quality", point.name)
            subnets = sample_point(config.space, point, config.space_search.num_samples, rng)
            self.admissions[index] = measure_admission(subnets, self.target.cost, self.target.limit)
        return self.admissions[index]

    def admitted_macs(self, index: Index) -> list[int]:
        """Return the multiply-accumulates of the point's admitted samples."""
        return [subnet.macs for subnet in self.admission(index)[1]]

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Train the point for T0 more epochs, score it, and record the visit.

        Args:
            index: grid index of the point.
            rule: why the point is visited, for the journal.
            fit: trend that chose the point, for the journal.
        """
        epochs = self.history.epochs(index) + self.config.space_search.visit_epochs
        visit = self.measure(index, epochs, rule, fit)
        self.history.add(visit)
        text = "no subnet fits" if visit.score is None else f"Q = {visit.score:.2f}"
        name, rho = self.config.space.point_at(index).name, visit.admitted_fraction
        say(f"visit {len(self.history)}: {name} ({rule}): {text}, rho {rho:.2f}")
        return visit

    def measure(
        self, index: Index, epochs: int, rule: str, fit: dict[str, Any] | None = None
    ) -> Visit:
        """Train the point until it has `epochs` epochs and score it, without recording a visit.

        Args:
            index: grid index of the point.
            epochs: epochs that its supernet has been trained in total.
            rule: why the point is measured.
            fit: trend that chose the point.
        """
        subnets = self._measured_subnets(index)
        point = self.config.space.point_at(index)
        accuracy = self._accuracy(point, epochs, subnets) if subnets else None
        return self._scored(index, epochs if subnets else 0, accuracy, rule, fit)

    def _scored(
        self,
        index: Index,
        epochs: int,
        accuracy: float | None,
        rule: str,
        fit: dict[str, Any] | None,
    ) -> Visit:
        """Return the visit of a point with its score; no accuracy gives no score."""
        admission, admitted = self.admission(index)
        costs = [self.target.cost(subnet).footprint.sram_bytes for subnet in admitted]
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
            self.datasets[img_size] = load(
                self.config.data, img_size, crops=self.config.recipe.resized_crop_scale is not None
            )
        return self.datasets[img_size]

    def _accuracy(self, point: SpacePoint, epochs: int, subnets: list[SubnetConfig]) -> float:
        """Return the mean accuracy of `subnets` after `epochs` epochs of their point.

        Jobs that share the recovery points train and measure once: one holds the lock, the others
        wait and read its result. The task, which names the directory, and the epochs determine the
        weights, so the key adds only the subnets and the data that they are measured on.
        """
        dataset = self._dataset(subnets[0].img_size)
        task = self._task(point, dataset)
        measured = [__version__, dataset.steering.digest, *(subnet.key for subnet in subnets)]
        key = digest(canonical_json(measured).encode())
        cached = task.directory / f"accuracy_{epochs:04d}_{key[:8]}.json"
        with self.processes.holding(task.directory):
            self._refuse_mixed(task, epochs)
            if not self.processes.agree(cached.exists()):
                model = _trained(task, epochs)
                accuracy = self._mean_accuracy(model, subnets, self._steering(dataset))
                if self.processes.is_main:
                    write_json(cached, "accuracy", {"accuracy_percent": accuracy})
            return self.processes.agree(_read_accuracy(cached) if self.processes.is_main else 0.0)

    def _refuse_mixed(self, task: Task[Supernet], epochs: int) -> None:
        """Refuse to go on from what another number of processes trained: points would not compare.

        Raises:
            ArtifactError: naming the recovery point.
        """
        from supernet.checkpoint import refuse_other_processes

        last = epochs * task.batches.steps_per_epoch
        refuse_other_processes(task.directory, epochs, last, self.processes.share[1])

    def _origin(self, dataset: Dataset) -> Path:
        """Return the weights of the joint supernet that all points start from; train it at need."""
        epochs = self.config.warm_start_epochs
        if self.origin is None:
            task = self._task(None, dataset)
            with self.processes.holding(task.directory):
                self._refuse_mixed(task, epochs)
                _trained(task, epochs)
                self.processes.wait()  # until the main process has written them
            averaged = self.config.recipe.ema_decay is not None
            name = "average.safetensors" if averaged else "model.safetensors"
            self.origin = task.directory / f"epoch_{epochs:04d}" / name
        return self.origin

    def _task(self, point: SpacePoint | None, dataset: Dataset) -> Task[Supernet]:
        import torch

        from supernet.task import SupernetSetting, supernet_task

        config = self.config
        setting = SupernetSetting(
            config.recipe,
            config.sampling,
            config.seed,
            Path(config.points_dir),
            self.target,
            joint=self._origin(dataset) if point and config.warm_start_epochs else None,
        )
        task = supernet_task(config.space, point, dataset, setting)
        torch.set_num_threads(run_threads(config.run, config.threads))
        return task

    def train_jointly(self, epochs: int) -> list[Visit]:
        """Train one supernet over all points, then score every point with its weights."""
        dataset = self._dataset(self.config.space.img_size[0])
        task = self._task(None, dataset)
        with self.processes.holding(task.directory):
            self._refuse_mixed(task, epochs)
            model = _trained(task, epochs)
        steering = self._steering(dataset)
        for index in np.ndindex(*self.shape):
            subnets = self._measured_subnets(index)
            accuracy = self._mean_accuracy(model, subnets, steering) if subnets else None
            self.history.add(self._scored(index, epochs, accuracy, "joint", None))
        return self.history.visits

    def _mean_accuracy(
        self, model: Supernet, subnets: list[SubnetConfig], steering: PreparedSplit
    ) -> float:
        """Return the mean accuracy of subnets under a supernet's weights, in percent.

        Each process measures some of the subnets; the mean does not depend on which.
        """
        rank, count = self.processes.share
        own = [
            steering.accuracy_percent(partial(model, subnet=subnet)) if n % count == rank else 0.0
            for n, subnet in enumerate(subnets)
        ]
        return float(np.mean(self.processes.sum(own)))

    def _steering(self, dataset: Dataset) -> PreparedSplit:
        """Return the steering split with its images on the device that evaluates."""
        from supernet.evaluate import PreparedSplit

        return PreparedSplit(dataset.steering, dataset.preprocessing, self.processes.device)

    def _measured_subnets(self, index: Index) -> list[SubnetConfig]:
        """Return the admitted subnets whose mean accuracy scores a point."""
        return self.admission(index)[1][: self.config.space_search.accuracy_subnets]


def _trained(task: Task[Supernet], epochs: int) -> Supernet:
    """Train until `epochs` are finished, from the newest recovery point if there is one."""
    from supernet.trainer import train

    return train(task, epochs, f"training {task.directory.name}").model


def _read_accuracy(path: Path) -> float:
    content = read_json(path, "accuracy")
    with parsing(path):
        return float(content["accuracy_percent"])
