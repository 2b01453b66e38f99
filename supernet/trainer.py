"""The training loop, for supernets and for single networks alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.artifact import canonical_json, digest
from mcuformer.data import Dataset
from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.progress import track
from mcuformer.seed import derive, stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet import checkpoint
from supernet.data import BatchSource, pad_value
from supernet.model import Supernet
from supernet.recipe import Recipe, build_mixup, build_optimizer, build_scheduler
from supernet.sampling import UniformSampler

Sampler = Callable[[np.random.Generator], SubnetConfig]


@dataclass(frozen=True)
class Task:
    """What is trained, on what and how.

    Args:
        model: a supernet, or a single network where `sampler` is None.
        batches: training data.
        recipe: optimiser and schedule.
        num_classes: K.
        seed: of every random stream.
        directory: of the checkpoints; training continues from the newest.
        identity: anything that makes a checkpoint this task's own, as plain containers.
        sampler: draws the subnet of a step.
    """

    model: nn.Module
    batches: BatchSource
    recipe: Recipe
    num_classes: int
    seed: int
    directory: Path
    identity: dict[str, Any]
    sampler: Sampler | None = None

    @property
    def digest(self) -> str:
        """A digest of recipe, seed and identity: what a checkpoint must share to be continued."""
        content = [self.recipe.dump(), self.seed, self.identity, len(self.batches.labels)]
        return digest(canonical_json(content).encode())


def supernet_task(
    space: SearchSpace,
    point: SpacePoint | None,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    points_dir: Path,
) -> Task:
    """Build the training of one point's supernet, or of the joint one where `point` is None.

    Its recovery points lie under `points_dir`. The directory's name holds a digest of all that the
    weights depend on, so that runs with other settings never meet each other's recovery points.
    """
    name = "joint" if point is None else point.name
    seed_everything(seed, "init", name)
    pad = pad_value(dataset.preprocessing)
    identity = {
        "space": space.dump(),
        "point": None if point is None else point.dump(),
        "data": dataset.train.digest,
        "preprocessing": dataset.preprocessing.dump(),
        "threads": torch.get_num_threads(),
    }
    task = Task(
        model=Supernet(space, point, pad),
        batches=BatchSource(dataset.train, dataset.preprocessing, recipe.batch_size, seed),
        recipe=recipe,
        num_classes=space.num_classes,
        seed=seed,
        directory=points_dir,
        identity=identity,
        sampler=UniformSampler(space, space.points() if point is None else (point,)),
    )
    return replace(task, directory=points_dir / f"{name}_{task.digest[:8]}")


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed the global generators of python, numpy and torch, which timm's Mixup draws from."""
    value = derive(seed, *names)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - timm's Mixup draws from it
    torch.manual_seed(value)


def train(task: Task, until_epoch: int, description: str) -> int:
    """Train until `until_epoch` epochs are finished, from the newest checkpoint that is not beyond.

    Every random choice depends on (seed, epoch, step) alone, so that an interrupted run ends with
    the same weights as one that was not.

    Returns:
        The number of epochs trained now.

    Raises:
        ArtifactError: the checkpoint belongs to another task.
        McuformerError: the loss is no longer finite.
    """
    accelerator = Accelerator()
    optimizer = build_optimizer(task.recipe, task.model)
    done = 0
    newest = checkpoint.newest(task.directory, until_epoch)
    if newest is not None:
        state = checkpoint.load(newest, task.model, optimizer)
        if state["task"] != task.digest:
            raise ArtifactError(
                "checkpoint of another task; remove it or use another run_dir", where=newest
            )
        done = int(state["epoch"])
    model, optimizer = accelerator.prepare(task.model, optimizer)
    scheduler = build_scheduler(task.recipe, optimizer, task.batches.steps_per_epoch)
    mixup = build_mixup(task.recipe, task.num_classes)
    model.train()
    for epoch in track(range(done, until_epoch), description):
        for step, batch in enumerate(task.batches.epoch(epoch)):
            seed_everything(task.seed, "step", epoch, step)
            images, target = (tensor.to(accelerator.device) for tensor in batch)
            if mixup is not None:
                images, target = mixup(images, target)
            arguments = ()
            if task.sampler is not None:
                arguments = (task.sampler(stream(task.seed, "sampling", epoch, step)),)
            scheduler.step_update(epoch * task.batches.steps_per_epoch + step)
            loss = _loss(model(images, *arguments), target, task.recipe, hard=mixup is None)
            if not torch.isfinite(loss):
                raise McuformerError(
                    f"the loss is {loss.item()} at epoch {epoch}, step {step}; lower the rate",
                    where="recipe.lr",
                    got=task.recipe.lr,
                )
            optimizer.zero_grad()
            accelerator.backward(loss)
            if task.recipe.clip_grad is not None:
                accelerator.clip_grad_norm_(model.parameters(), task.recipe.clip_grad)
            optimizer.step()
        finished = epoch + 1
        if finished == until_epoch or finished % task.recipe.checkpoint_epochs == 0:
            state = {"epoch": finished, "task": task.digest}
            checkpoint.save(
                task.directory,
                task.model,
                optimizer.optimizer,
                state,
                recovery_point=finished == until_epoch,
            )
    task.model.eval()
    return max(0, until_epoch - done)


def _loss(logits: Tensor, target: Tensor, recipe: Recipe, *, hard: bool) -> Tensor:
    smoothing = recipe.label_smoothing if hard else 0.0  # timm's Mixup smooths by itself
    return functional.cross_entropy(logits, target, label_smoothing=smoothing)
