"""What a training step descends: the losses of its subnets, taught or not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic

import torch
from torch import Tensor
from torch.nn import functional

from supernet.distillation import Teacher, build_teacher, distilled_loss
from supernet.modules import ModuleT
from supernet.processes import Processes
from supernet.recipe import Distillation
from supernet.task import Task


class Objective(Generic[ModuleT]):
    """The loss of a training's steps.

    Args:
        task: what is trained.
        model: its network, on the device that computes.
        processes: group of processes of the training.
        mixed: whether Mixup gives smoothed targets instead of labels.

    Raises:
        ConfigError: the processes or the subnets of a step cannot share the batch, or the teacher
            cannot be built.
    """

    def __init__(
        self, task: Task[ModuleT], model: ModuleT, processes: Processes, *, mixed: bool
    ) -> None:
        self.task, self.model, self.processes = task, model, processes
        self.recipe = task.recipe
        self.smoothing = 0.0 if mixed else self.recipe.label_smoothing
        parts, weight = 1, 0.0
        if task.sampler is not None:
            parts, weight = task.sampler.parts, task.sampler.in_place_weight
        processes.check_batch_size(task.batches.batch_size, mixed=mixed, parts=parts)
        self.in_place = Distillation(teacher="largest", weight=weight) if weight else None
        self.teacher: Teacher | None = None
        if self.recipe.distillation is not None:
            chans = task.batches.preprocessing.in_chans
            source = model if task.supernet is None else task.supernet.to(processes.device)
            self.teacher = build_teacher(self.recipe.distillation, source, task.num_classes, chans)

    def backward(self, inputs: Tensor, target: Tensor, epoch: int, step: int) -> Tensor:
        """Accumulate the gradients of every subnet of a step; return the loss.

        With an outer teacher of weight w, and the first subnet teaching the others in place with
        weight v (both may be 0), the step descends the mean over all pairs of a subnet and one of
        its images of

            loss_s = (1 - v_s) ((1 - w) CE_s + w KD_s) + v_s KL_s

        where v_s = 0 for the first subnet and v for the others. As a mean, it keeps the scale of
        the gradient, and so the learning rate, independent of the sampler. Each subnet runs
        backward at once, so that only one subnet's activations are held. A pruner's penalty joins
        the gradient, but not the loss that is told and watched for spikes.

        Args:
            inputs: images (B, C, H, W).
            target: labels (B,), or smoothed targets (B, K) of Mixup.
            epoch: epoch of the step, from 0.
            step: number of the step in its epoch, from 0.

        Returns:
            The mean loss, a scalar without a graph.
        """
        outer, first = self._taught(inputs), None
        visits = self._visits(epoch, step)
        pairs = sum(len(target[images]) for _, images in visits)
        total = torch.zeros((), device=inputs.device)
        for arguments, images in visits:
            with self._autocast():
                logits = self.model(inputs[images], *arguments)
            logits = logits.float()  # bf16 has 8 bits, too few for the logarithms of the losses
            loss = functional.cross_entropy(logits, target[images], label_smoothing=self.smoothing)
            if outer is not None and self.recipe.distillation is not None:
                loss = distilled_loss(loss, logits, outer[images], self.recipe.distillation)
            if first is None:
                first = logits.detach()  # it learns from the data, not towards its students
            elif self.in_place is not None:
                loss = distilled_loss(loss, logits, first[images], self.in_place)
            loss = loss * (len(logits) / pairs)
            self.processes.accelerator.backward(loss)
            total += loss.detach()
        if self.task.pruner is not None:
            number = epoch * self.task.batches.steps_per_epoch + step
            penalty = self.task.pruner.penalty(self.model, number)
            if penalty is not None:
                self.processes.accelerator.backward(penalty)
        return total

    def _visits(self, epoch: int, step: int) -> Sequence[tuple[tuple[Any, ...], slice]]:
        """Return what the model is called with beside images, and with which of them."""
        if self.task.sampler is None:
            return [((), slice(None))]
        return [((subnet,), images) for subnet, images in self.task.sampler(epoch, step)]

    def _taught(self, inputs: Tensor) -> Tensor | None:
        """Return the outer teacher's logits, or None without one."""
        if self.teacher is None:
            return None
        with self._autocast():
            return self.teacher(inputs).float()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.processes.device.type, torch.bfloat16)
