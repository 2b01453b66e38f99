"""What is trained: a supernet of one point or of all, or a single network."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol

import numpy as np
import torch

from mcuformer.data.dataset import Dataset
from mcuformer.run.artifact import canonical_json, digest, file_digest
from mcuformer.seed import derive
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.data import BatchSource, pad_value
from supernet.distillation import teacher_identity
from supernet.initialize import initialize
from supernet.model import Supernet
from supernet.modules import ModuleT
from supernet.recipe import Recipe
from supernet.sampling import Pool, Sampler, SamplingConfig, build_sampler, heeds_budget


@dataclass(frozen=True)
class Task(Generic[ModuleT]):
    """What is trained, on what and how.

    Args:
        model: a supernet, or a single network where `sampler` is None.
        batches: training data.
        recipe: optimiser and schedule.
        num_classes: K.
        seed: of every random stream.
        directory: of the checkpoints; training continues from the newest.
        identity: anything that makes a checkpoint this task's own, as plain containers.
        sampler: draws the subnets of a step.
        trackers: of accelerate's, by name; ``metrics.jsonl`` is always written.
    """

    model: ModuleT
    batches: BatchSource
    recipe: Recipe
    num_classes: int
    seed: int
    directory: Path
    identity: dict[str, Any]
    sampler: Sampler | None = None
    trackers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A digest of recipe, seed and identity: what a checkpoint must share to be continued."""
        teacher = teacher_identity(self.recipe.distillation)
        size = len(self.batches.split)
        content = [self.recipe.content(), self.seed, self.identity, size, teacher]
        return digest(canonical_json(content).encode())


class Limits(Protocol):
    """What a supernet needs to know of where its subnets shall run."""

    def admits(self, subnet: SubnetConfig) -> bool:
        """Tell whether a subnet fits."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return what the verdicts depend on, as plain containers."""
        ...


@dataclass(frozen=True)
class SupernetSetting:
    """What a supernet is trained for, besides space and data.

    Args:
        recipe: optimiser and schedule.
        sampling: which subnets a step visits.
        seed: of the run.
        points_dir: of the recovery points.
        limits: which subnets fit; None admits all.
        initial: a dense vision transformer in timm's format to start from.
    """

    recipe: Recipe
    sampling: SamplingConfig
    seed: int
    points_dir: Path
    limits: Limits | None = None
    initial: Path | None = None


def supernet_task(
    space: SearchSpace, point: SpacePoint | None, dataset: Dataset, setting: SupernetSetting
) -> Task[Supernet]:
    """Build the training of one point's supernet, or of the joint one where `point` is None.

    Its recovery points lie under `points_dir`. The directory's name holds a digest of all that the
    weights depend on, so that runs with other settings never meet each other's recovery points.

    Raises:
        BudgetError: sampling heeds the budget, and no subnet fits it.
    """
    name = "joint" if point is None else point.name
    recipe, seed = setting.recipe, setting.seed
    seed_everything(seed, "init", name)
    identity = {
        "space": space.dump(),
        "point": None if point is None else point.dump(),
        "data": dataset.train.digest,
        "preprocessing": dataset.preprocessing.dump(),
        "sampling": setting.sampling.dump(),
        "budget": {},
    }
    if setting.limits is not None and heeds_budget(setting.sampling):
        identity["budget"] = setting.limits.identity()
    supernet = Supernet(space, point, pad_value(dataset.preprocessing), recipe.drop_path_rate)
    if setting.initial is not None:
        initialize(supernet, setting.initial)
        identity["initial"] = file_digest(setting.initial)
    batches = BatchSource(dataset.train, dataset.preprocessing, recipe, seed)
    task = Task(
        model=supernet,
        batches=batches,
        recipe=recipe,
        num_classes=space.num_classes,
        seed=seed,
        directory=setting.points_dir,
        identity=identity,
        sampler=build_sampler(
            setting.sampling, subnet_pool(space, point, setting), batches.steps_per_epoch
        ),
    )
    return replace(task, directory=setting.points_dir / f"{name}_{task.digest[:8]}")


def subnet_pool(space: SearchSpace, point: SpacePoint | None, setting: SupernetSetting) -> Pool:
    """Return the subnets of one point's supernet, or of the joint one."""
    points = space.points() if point is None else (point,)
    admissible = None if setting.limits is None else setting.limits.admits
    return Pool(space, points, setting.seed, admissible, joint=point is None)


def network_task(
    model: ModuleT,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    directory: Path,
    identity: Mapping[str, Any],
) -> Task[ModuleT]:
    """Build the training of a single network, on the training and the steering split.

    Args:
        model: the network.
        dataset: its data; the number of classes is the data's.
        recipe: optimiser and schedule.
        seed: of every random stream.
        directory: holds a directory of checkpoints, named after all that the weights depend on.
        identity: what makes this training its own, besides data, recipe and seed.
    """
    both = dataset.train.joined(dataset.steering)
    identity = {**identity, "data": both.digest}
    name = digest(canonical_json([identity, recipe.content(), seed]).encode())[:8]
    return Task(
        model=model,
        batches=BatchSource(both, dataset.preprocessing, recipe, seed),
        recipe=recipe,
        num_classes=len(dataset.class_names),
        seed=seed,
        directory=directory / name,
        identity=dict(identity),
    )


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed the global generators of python, numpy and torch, which timm's parts draw from."""
    value = derive(seed, *names)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - timm's Mixup draws from it
    torch.manual_seed(value)
