"""Train and prune a network: the methods, and the function that runs them on a task."""

from __future__ import annotations

from dataclasses import replace

import torch

from supernet.pruning.compact import merge
from supernet.pruning.feedback import Feedback
from supernet.pruning.method import Method
from supernet.pruning.settings import BayesianCompression, FeedbackPruning, PruningConfig
from supernet.pruning.variational import Bayesian, Sparse
from supernet.task import Task
from supernet.trainer import Trained, Validate, train
from supernet.vit import Vit


def prune(
    task: Task[Vit],
    settings: PruningConfig,
    description: str = "pruning",
    validate: Validate | None = None,
) -> Trained[Vit]:
    """Train a network to the recipe's last epoch and prune it meanwhile.

    What is pruned is part of the checkpoints, so an interrupted training ends as an uninterrupted
    one does. They are kept in a folder of `task.directory`, named after the settings.

    Args:
        task: training of a single network, which stays as it is; its factors of full rank are
            multiplied out first, as they are deployed.
        settings: method and its settings.
        description: what is trained, for progress lines.
        validate: measures the pruned network after an epoch, by name.

    Returns:
        The pruned network with its shape as :attr:`Vit.subnet`: smaller, or, for sparse variational
        dropout, of the same size with weights that are zero.

    Raises:
        ConfigError: the network cannot be pruned as asked.
        ArtifactError: a checkpoint is damaged.
        McuformerError: the training diverges.
    """
    vit = merge(task.model)
    settings.check(vit.subnet)
    total_steps = task.recipe.epochs * task.batches.steps_per_epoch
    method = build_method(settings, total_steps, len(task.batches.split))
    method.install(vit)
    identity = {**task.identity, "pruning": settings.content()}
    pruned = replace(task, model=vit, pruner=method, identity=identity)
    directory = task.directory / f"{settings.name}_{pruned.digest[:8]}"
    trained = train(replace(pruned, directory=directory), task.recipe.epochs, description, validate)
    return Trained(method.finish(trained.model), trained.epochs, trained.is_main)


def count_nonzero(vit: Vit) -> int:
    """Return the number of parameters that are not zero."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in vit.parameters())


def build_method(settings: PruningConfig, total_steps: int, num_images: int) -> Method:
    """Build the method of the settings.

    Args:
        settings: method and its settings.
        total_steps: steps of the whole training.
        num_images: number of images that are trained on.
    """
    if isinstance(settings, FeedbackPruning):
        return Feedback(settings, total_steps)
    if isinstance(settings, BayesianCompression):
        return Bayesian(settings, total_steps, num_images)
    return Sparse(settings, total_steps, num_images)
