"""Training tasks: the supernet of one point or of all points, or a single network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol

import torch
from torch import Tensor

from mcuformer.data.dataset import Dataset
from mcuformer.run.artifact import canonical_json, digest, file_digest
from mcuformer.seed import derive
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.augment import seed_generators
from supernet.data import BatchSource, pad_value
from supernet.distillation import teacher_identity
from supernet.initialize import inherit, initialize
from supernet.model import Supernet, needs_full_rank
from supernet.modules import ModuleT, ModuleT_contra
from supernet.recipe import Recipe
from supernet.sampling import Pool, Sampler, SamplingConfig, build_sampler, heeds_budget


class Pruner(Protocol[ModuleT_contra]):
    """Prunes a network while it trains; what it remembers is part of the network's state."""

    def before_step(self, model: ModuleT_contra, step: int) -> None:
        """Prepare the network for step `step`, counted from the start of the training."""
        ...

    def penalty(self, model: ModuleT_contra, step: int) -> Tensor | None:
        """Return what the step adds to the loss, a scalar, or None."""
        ...


@dataclass(frozen=True)
class Task(Generic[ModuleT]):
    """What is trained, on which data and how.

    Args:
        model: network to train; a supernet if there is a `sampler`.
        batches: training data.
        recipe: optimiser, schedule and augmentation.
        num_classes: number of classes K.
        seed: seed of every random stream.
        directory: where checkpoints are kept; training continues from the newest.
        identity: what the weights depend on apart from recipe, seed, number of images and teacher,
            as plain containers.
        sampler: draws the subnets of a step; None trains `model` as a single network.
        pruner: prunes `model` while it trains, or None.
        supernet: its largest subnet is the recipe's teacher ``largest``; None is `model`'s own. Its
            weights belong to `identity`.
        trackers: names of accelerate's trackers; ``metrics.jsonl`` is always written.
        alone: whether this process trains by itself, although torchrun started others.
    """

    model: ModuleT
    batches: BatchSource
    recipe: Recipe
    num_classes: int
    seed: int
    directory: Path
    identity: dict[str, Any]
    sampler: Sampler | None = None
    pruner: Pruner[ModuleT] | None = None
    supernet: Supernet | None = None
    trackers: tuple[str, ...] = ()
    alone: bool = False

    @property
    def digest(self) -> str:
        """Digest of everything that the weights depend on; a checkpoint of another is refused."""
        teacher = teacher_identity(self.recipe.distillation)
        size = len(self.batches.split)
        content = [self.recipe.content(), self.seed, self.identity, size, teacher]
        return digest(canonical_json(content).encode())


class Limits(Protocol):
    """What the training of a supernet needs to know about the device."""

    def admits(self, subnet: SubnetConfig) -> bool:
        """Return whether a subnet fits the budget."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return everything that :meth:`admits` depends on, as plain containers."""
        ...


@dataclass(frozen=True)
class SupernetSetting:
    """How supernets are trained, whatever the space, the point and the data.

    Args:
        recipe: optimiser, schedule and augmentation.
        sampling: which subnets a step visits.
        seed: seed of the run.
        points_dir: parent of the directories of recovery points.
        limits: which subnets fit; None admits all.
        initial: safetensors file of a trained network in timm's names to start from, or None.
        joint: safetensors file of the joint supernet of the same space to start from, or None.
    """

    recipe: Recipe
    sampling: SamplingConfig
    seed: int
    points_dir: Path
    limits: Limits | None = None
    initial: Path | None = None
    joint: Path | None = None


def supernet_task(
    space: SearchSpace, point: SpacePoint | None, dataset: Dataset, setting: SupernetSetting
) -> Task[Supernet]:
    """Build the training of one point's supernet, or of the joint supernet if `point` is None.

    The name of its directory under `points_dir` contains the task's digest, so that runs with
    different settings never share recovery points.

    Args:
        space: search space of the subnets.
        point: outer point of the supernet, or None.
        dataset: its training split is trained on.
        setting: recipe, sampling, seed and directory.

    Raises:
        ArtifactError: `setting.initial` or `setting.joint` cannot start this supernet.
        BudgetError: the sampling depends on the budget, and no subnet fits it.
        ConfigError: budget-aware sampling without a device, or a bad augmentation.
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
    if setting.joint is not None:
        inherit(supernet, setting.joint)
        identity["joint"] = file_digest(setting.joint)
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
    return Pool(space, points, setting.seed, admissible, needs_full_rank(space, point))


def network_task(
    model: ModuleT,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    directory: Path,
    identity: Mapping[str, Any],
) -> Task[ModuleT]:
    """Build the training of a single network on the training and the steering split.

    Args:
        model: network to train.
        dataset: data, and the number of classes.
        recipe: optimiser, schedule and augmentation.
        seed: seed of every random stream.
        directory: parent of the checkpoints' directory, which is named after a digest of everything
            that the weights depend on.
        identity: what the weights depend on apart from data, recipe and seed, as plain containers.
    """
    split = dataset.train.joined(dataset.steering)
    identity = {**identity, "data": split.digest}
    name = digest(canonical_json([identity, recipe.content(), seed]).encode())[:8]
    return Task(
        model=model,
        batches=BatchSource(split, dataset.preprocessing, recipe, seed),
        recipe=recipe,
        num_classes=len(dataset.class_names),
        seed=seed,
        directory=directory / name,
        identity=dict(identity),
    )


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed the global generators from a named stream, those of every device; timm uses them."""
    value = derive(seed, *names)
    seed_generators(value)
    torch.manual_seed(value)
