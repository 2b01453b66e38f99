"""The training loop of supernets and of single networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, cast

import numpy as np
import torch
from torch import Tensor, nn

from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.run.progress import Meter, duration, say
from supernet.checkpoint import Snapshot, newest
from supernet.metrics import Journal
from supernet.modules import ModuleT
from supernet.objective import Objective
from supernet.processes import Processes
from supernet.recipe import build_mixup, build_optimizer, build_scheduler
from supernet.rounding import set_fake_quant
from supernet.task import Task, seed_everything

CHECKPOINT_SECONDS = 45.0  # with the last step, a checkpoint is then less than a minute old
LOSS_MEMORY = 0.98  # weight of the past in the running mean of the loss, per step
LEAST_SPIKE = 0.5  # of ln K
SPIKE_PATIENCE = 50  # 1 / (1 - LOSS_MEMORY) steps: until then a few first losses are the mean
Validate = Callable[[nn.Module, int], dict[str, float]]


@dataclass(frozen=True)
class Trained(Generic[ModuleT]):
    """The result of a training.

    Args:
        model: network to evaluate and keep, in evaluation mode; it has the averaged weights if the
            recipe averages them.
        epochs: number of epochs that this call trained.
        is_main: whether this process writes files.
    """

    model: ModuleT
    epochs: float
    is_main: bool


def train(
    task: Task[ModuleT], until_epoch: int, description: str, validate: Validate | None = None
) -> Trained[ModuleT]:
    """Train until `until_epoch` epochs are finished, from the newest checkpoint up to there.

    Every random choice depends only on seed, epoch and step. An interrupted run therefore ends with
    the same weights as an uninterrupted one, given the same number of processes and threads, device
    and version of torch.

    Args:
        task: what to train, on which data and how.
        until_epoch: number of epochs to have finished.
        description: what is trained, for progress lines.
        validate: measures a model after an epoch, by name; results are printed and recorded.

    Raises:
        ArtifactError: the checkpoint is damaged or belongs to another task.
        ConfigError: the processes cannot share the batch, or timm cannot build a part of the
            recipe.
        McuformerError: the loss still spikes or is not finite after the last rollback allowed.
    """
    return _Training(task, until_epoch, description, validate).run()


class _Training(Generic[ModuleT]):
    """One training: the state that checkpoints hold, and the objects that change it."""

    def __init__(
        self, task: Task[ModuleT], until_epoch: int, description: str, validate: Validate | None
    ) -> None:
        from timm.utils import ModelEmaV3

        self.task, self.recipe, self.validate = task, task.recipe, validate
        self.description, self.until_epoch = description, until_epoch
        self.processes = Processes(task.trackers, str(task.directory), alone=task.alone)
        self.model = task.model.to(self.processes.device)
        self.optimizer = build_optimizer(self.recipe, self.model)
        self.scheduler = build_scheduler(self.recipe, self.optimizer, task.batches.steps_per_epoch)
        self.mixup = build_mixup(self.recipe, task.num_classes)
        self.objective = Objective(task, self.model, self.processes, mixed=self.mixup is not None)
        decay = self.recipe.ema_decay
        self.average = None if decay is None else ModelEmaV3(self.model, decay=decay)
        self.steps_per_epoch = task.batches.steps_per_epoch
        self.state: dict[str, Any] = {
            "step": 0,
            "epoch": 0,
            "lr_scale": 1.0,
            "rollbacks": 0,
            "loss_mean": None,
            "loss_steps": 0,
            "epoch_loss": 0.0,
            "task": task.digest,
            "environment": self._environment(),
        }
        self.good = self._resumed()
        self.saved_at = time.monotonic()

    @property
    def averaged(self) -> ModuleT | None:
        """The model with the averaged weights, or None if the recipe does not average them."""
        # timm's annotation is nn.Module, but it averages in a copy of the model
        return None if self.average is None else cast(ModuleT, self.average.module)

    def run(self) -> Trained[ModuleT]:
        """Train to the end; return the result."""
        started = int(self.state["step"])
        last = self.until_epoch * self.steps_per_epoch
        journal = Journal(self.task.directory / "metrics.jsonl", started, self.processes)
        with Meter(self.description, last, started) as meter:
            while self.state["step"] < last:
                self._run_epoch(meter, journal)
        set_fake_quant(self.model, False)
        self.processes.finish_trackers()
        trained = (last - started) / self.steps_per_epoch if last > started else 0.0
        final = self.averaged or self.model
        return Trained(final.eval(), trained, self.processes.is_main)

    def _run_epoch(self, meter: Meter, journal: Journal) -> None:
        """Run the rest of the current epoch; return early after a rollback, which changes it."""
        epoch, first = divmod(int(self.state["step"]), self.steps_per_epoch)
        self.model.train()
        quantized = epoch >= self.recipe.epochs - self.recipe.fake_quant_epochs
        set_fake_quant(self.model, quantized)
        batches = self.task.batches.epoch(epoch, first, self.processes.share)
        for step, (images, labels) in enumerate(batches, first):
            went_on = self._run_step(epoch, step, images, labels)
            meter.update(int(self.state["step"]))
            if not went_on:
                journal.drop_after(int(self.state["step"]))
                return
            if step + 1 < self.steps_per_epoch:
                self._checkpoint()
        row = {
            "step": self.state["step"],
            "epoch": epoch + 1,
            "loss": round(self.state["epoch_loss"] / self.steps_per_epoch, 6),
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        if self.validate is not None and self.processes.is_main:
            model = (self.averaged or self.model).eval()
            row |= self.validate(model, epoch + 1)
            self._announce(row, meter)
        journal.add(row)
        self._checkpoint()

    def _announce(self, row: dict[str, Any], meter: Meter) -> None:
        """Print the loss and the accuracies of one epoch."""
        accuracies = ", ".join(
            f"{name.removesuffix('_percent').replace('_', ' ')} {value:.2f} %"
            for name, value in row.items()
            if name.endswith("_percent")
        )
        say(
            f"{self.description}: epoch {row['epoch']}/{self.until_epoch}, loss {row['loss']:.3f}; "
            f"{accuracies}; about {duration(meter.seconds_left)} left"
        )

    def _run_step(self, epoch: int, step: int, images: Tensor, labels: Tensor) -> bool:
        """Do one step; return whether it went on, instead of back to a checkpoint."""
        # Seeding at every step makes a resume exact without saving generator states. Processes mix
        # and drop differently, so the name contains the rank, except rank 0: it draws what a
        # single process would.
        rank = self.processes.share[0]
        names = (epoch, step, *((rank,) if rank else ()))
        seed_everything(self.task.seed, "step", *names)
        inputs = images.to(self.processes.device)
        target = labels.to(self.processes.device)
        if self.mixup is not None:
            inputs, target = self.mixup(inputs, target)
        # the schedule sets the rate anew from the step, so that the scale does not accumulate
        self.scheduler.step_update(epoch * self.steps_per_epoch + step)
        for group in self.optimizer.param_groups:
            group["lr"] *= self.state["lr_scale"]
        self.optimizer.zero_grad()
        if self.task.pruner is not None:
            self.task.pruner.before_step(self.model, epoch * self.steps_per_epoch + step)
        # The averaged loss and gradients are the same in all processes, so each finds the same
        # fault and clips by the same norm.
        own_loss = self.objective.backward(inputs, target, epoch, step)
        loss = float(self.processes.average(self.model, own_loss))
        fault = self._fault(loss)
        if fault is not None:
            self._roll_back(f"{fault} at epoch {epoch}, step {step}")
            return False
        if self.recipe.clip_grad is not None:
            self.processes.accelerator.clip_grad_norm_(
                self.model.parameters(), self.recipe.clip_grad
            )
        self.optimizer.step()
        self._finish_step(epoch, step, loss)
        return True

    def _finish_step(self, epoch: int, step: int, loss: float) -> None:
        """Count the step and update the running means of the loss and of the weights."""
        done, before = epoch * self.steps_per_epoch + step + 1, self.state["loss_mean"]
        memory = 0.0 if before is None else LOSS_MEMORY
        self.state |= {
            "step": done,
            "epoch": done // self.steps_per_epoch,
            "loss_mean": memory * (before or 0.0) + (1 - memory) * loss,
            "loss_steps": self.state["loss_steps"] + 1,
            "epoch_loss": (self.state["epoch_loss"] if step else 0.0) + loss,
        }
        if self.average is not None:
            self.average.update(self.model, step=done)

    def _fault(self, loss: float) -> str | None:
        """Return what is wrong with a loss, or None.

        A spike is a multiple of the running mean m <- 0.98 m + 0.02 loss, which starts at the first
        loss and forgets it over 1 / 0.02 = 50 steps, and above half of ln K, the loss of a guess
        among K classes: where nearly all images are right, one small subnet or a hard batch has
        many times the mean. Not a number is no multiple of anything, so it is asked for first.
        """
        if not np.isfinite(loss):
            return f"the loss is {loss}"
        mean, factor = self.state["loss_mean"], self.recipe.spike_factor
        if factor is None or mean is None or self.state["loss_steps"] < SPIKE_PATIENCE:
            return None
        least = max(factor * mean, LEAST_SPIKE * math.log(self.task.num_classes))
        return f"the loss jumped from {mean:.3f} to {loss:.3f}" if loss > least else None

    def _roll_back(self, fault: str) -> None:
        """Go back to the last checkpoint and lower the rate.

        The same batches and subnets follow, because they depend only on the step; only the rate is
        different. Count and scale are not the checkpoint's, so that several rollbacks to one
        checkpoint add up.

        Raises:
            McuformerError: there have been `recipe.max_rollbacks` rollbacks already.
        """
        done = int(self.state["rollbacks"])
        if done >= self.recipe.max_rollbacks:
            raise McuformerError(
                f"{fault}, after {done} rollbacks; lower the rate",
                where="recipe.lr",
                got=self.recipe.lr,
            )
        scale = self.state["lr_scale"] * self.recipe.rollback_lr
        self.good.restore(self.model, self.optimizer, self.averaged)
        self.state = self.good.state | {"rollbacks": done + 1, "lr_scale": scale}
        say(f"{fault}: back to step {self.state['step']}, with the rate times {scale:g}")

    def _checkpoint(self) -> None:
        """Save a partial checkpoint every `checkpoint_steps`, and a recovery point at the end.

        Where a long time passes between them, a timed checkpoint is saved. Rollbacks do not return
        to it, or the result would depend on the speed of the machine.
        """
        step, is_main = int(self.state["step"]), self.processes.is_main
        finished = step == self.until_epoch * self.steps_per_epoch
        regular = finished or step % self.recipe.checkpoint_steps == 0
        due = is_main and time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
        if not regular and not due:
            return
        current = Snapshot.take(self.state, self.model, self.optimizer, self.averaged)
        if regular:
            self.good = current
        if is_main:
            kind = "partial" if regular else "timed"
            name = f"epoch_{self.until_epoch:04d}" if finished else f"{kind}_{step:08d}"
            current.save(self.task.directory / name)
            self.saved_at = time.monotonic()

    def _resumed(self) -> Snapshot:
        """Restore the newest checkpoint, if there is one; return the snapshot to roll back to.

        All processes choose the same one: none saves, and so removes a partial checkpoint, before
        all have looked (`wait`) and have joined a step, which needs their gradients.

        Raises:
            ArtifactError: the checkpoint is damaged or belongs to another task.
        """
        last = self.until_epoch * self.steps_per_epoch
        path = newest(self.task.directory, self.until_epoch, last)
        self.processes.wait()
        good = Snapshot.take(self.state, self.model, self.optimizer, self.averaged)
        if path is None:
            return good
        snapshot = self._load(path)
        step = int(snapshot.state["step"])
        regular = newest(self.task.directory, self.until_epoch, step, timed=False)
        if regular is not None:
            good = snapshot if regular == path else self._load(regular)
        # sums are rounded in another order by other threads, devices or versions: the run goes on,
        # with the same batches and subnets, but says that its bits will differ
        saved, current = snapshot.state["environment"], self.state["environment"]
        changed = [name for name in current if saved.get(name) != current[name]]
        if changed:
            what = ", ".join(f"{name} {saved.get(name)} -> {current[name]}" for name in changed)
            say(f"{path.name}: resumed in order, but not bit for bit ({what})")
        snapshot.restore(self.model, self.optimizer, self.averaged)
        self.state = snapshot.state | {"environment": current}
        return good

    def _load(self, path: Path) -> Snapshot:
        """Read a checkpoint of this task.

        Raises:
            ArtifactError: it is damaged or belongs to another task.
        """
        snapshot = Snapshot.load(path, self.model, average=self.average is not None)
        if snapshot.state.keys() != self.state.keys():
            raise ArtifactError(
                "damaged, or written by another version",
                where=path / "state.json",
                got=", ".join(snapshot.state),
                expected=", ".join(self.state),
            )
        if snapshot.state["task"] != self.task.digest:
            raise ArtifactError(
                "checkpoint of another task; remove it or use another run_dir", where=path
            )
        return snapshot

    def _environment(self) -> dict[str, Any]:
        """Return what must be equal for a resume to be exact, apart from the checkpoint."""
        return {
            "processes": self.processes.share[1],
            "threads": torch.get_num_threads(),
            "device": self.processes.device.type,
            "torch": torch.__version__,
        }
