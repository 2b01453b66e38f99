"""Checkpoints: safetensors for tensors, JSON for the rest; nothing is pickled.

A checkpoint is a directory that one rename makes visible. ``epoch_NNNN`` is a recovery point: the
state after the last requested epoch, kept. ``partial_NNNNNNNN`` is the state after so many steps of
an unfinished training, saved every so many steps; ``timed_NNNNNNNN`` is one that was saved because
time had passed. Only the newest of either is kept.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import (
    load_arrays,
    parsing,
    read_json,
    save_arrays,
    write_json,
)
from mcuformer.run.folder import replacing_directory

Tensors = dict[str, Tensor]


def model_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of `model` as arrays, by parameter and buffer name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, path: Path) -> None:
    """Load weights from a safetensors file.

    Raises:
        ArtifactError: the file is missing, damaged or holds the weights of another network.
    """
    tensors = read_tensors(path)
    refuse_misfits(tensors, model.state_dict(), path)
    model.load_state_dict(tensors)


@dataclass(frozen=True)
class Snapshot:
    """Everything that a training changes, as it was after one step.

    Args:
        state: plain numbers and strings; ``step`` is the number of finished steps.
        model: weights by name.
        moments: tensors of the optimiser's state, by ``parameter|key``.
        average: running average of the weights, or None.
    """

    state: dict[str, Any]
    model: Tensors
    moments: Tensors
    average: Tensors | None = None

    @classmethod
    def take(
        cls,
        state: dict[str, Any],
        model: nn.Module,
        optimizer: Optimizer,
        average: nn.Module | None,
    ) -> Snapshot:
        """Copy the current state."""
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        moments = {
            f"{names[id(parameter)]}|{key}": torch.as_tensor(value).detach().clone()
            for parameter, entry in optimizer.state.items()
            for key, value in entry.items()
        }
        return cls(dict(state), _copy(model), moments, None if average is None else _copy(average))

    def restore(self, model: nn.Module, optimizer: Optimizer, average: nn.Module | None) -> None:
        """Copy the snapshot back into model, optimiser and average."""
        model.load_state_dict(self.model)
        if average is not None and self.average is not None:
            average.load_state_dict(self.average)
        parameters = dict(model.named_parameters())
        optimizer.state.clear()
        for name, tensor in self.moments.items():
            parameter_name, _, key = name.rpartition("|")
            parameter = parameters[parameter_name]
            # torch and timm keep step counters, which are scalars, on the CPU
            device = parameter.device if tensor.ndim else "cpu"
            optimizer.state[parameter][key] = tensor.clone().to(device)

    def save(self, path: Path) -> None:
        """Write the checkpoint `path` and remove those that it replaces.

        A timed one replaces timed ones, because rollbacks return to the last partial one.
        """
        with replacing_directory(path) as temporary:
            save_arrays(temporary / "model.safetensors", _arrays(self.model))
            save_arrays(temporary / "optimizer.safetensors", _arrays(self.moments))
            if self.average is not None:
                save_arrays(temporary / "average.safetensors", _arrays(self.average))
            write_json(temporary / "state.json", "checkpoint", self.state)
        kinds = ("timed",) if path.name.startswith("timed") else ("timed", "partial")
        for old in (old for kind in kinds for old in path.parent.glob(f"{kind}_*")):
            if old != path:
                shutil.rmtree(old)

    @classmethod
    def load(cls, path: Path, model: nn.Module, *, average: bool) -> Snapshot:
        """Read a checkpoint of `model`.

        Args:
            path: directory of the checkpoint.
            model: network that names and shapes are compared with.
            average: whether the checkpoint must hold an average of the weights.

        Raises:
            ArtifactError: the checkpoint is damaged or belongs to another network.
        """
        state = read_json(path / "state.json", "checkpoint")
        weights = read_tensors(path / "model.safetensors")
        refuse_misfits(weights, model.state_dict(), path / "model.safetensors")
        averaged = None
        if average:
            averaged = read_tensors(path / "average.safetensors")
            refuse_misfits(averaged, model.state_dict(), path / "average.safetensors")
        moments = read_tensors(path / "optimizer.safetensors")
        known = {name for name, _ in model.named_parameters()}
        for name in moments:
            if name.rpartition("|")[0] not in known:
                raise ArtifactError(f"optimiser state of another network: {name}", where=path)
        return cls(state, weights, moments, averaged)


def newest(
    directory: Path, at_most_epoch: int, at_most_step: int, *, timed: bool = True
) -> Path | None:
    """Return the latest checkpoint at or before an epoch and a step, or None.

    Of a recovery point and another checkpoint of the same step, the recovery point is returned.

    Args:
        directory: where the checkpoints are.
        at_most_epoch: limit for recovery points.
        at_most_step: limit for partial and timed checkpoints.
        timed: whether timed checkpoints count.
    """
    recovery_points = [p for p in directory.glob("epoch_[0-9]*") if _number(p) <= at_most_epoch]
    unfinished = [*directory.glob("partial_[0-9]*")]
    unfinished += directory.glob("timed_[0-9]*") if timed else ()
    partial_ones = [p for p in unfinished if _number(p) <= at_most_step]
    recovery = max(recovery_points, key=_number, default=None)
    partial = max(partial_ones, key=_number, default=None)
    if recovery is None or partial is None:
        return recovery or partial
    recovery_step = read_json(recovery / "state.json", "checkpoint")["step"]
    return partial if _number(partial) > recovery_step else recovery


def refuse_other_processes(
    directory: Path, at_most_epoch: int, at_most_step: int, processes: int
) -> None:
    """Refuse to continue a checkpoint that another number of processes made.

    Args:
        directory: where the checkpoints are; limits as of :func:`newest`.
        at_most_epoch: limit for recovery points.
        at_most_step: limit for partial and timed checkpoints.
        processes: number of processes that would go on.

    Raises:
        ArtifactError: naming the checkpoint.
    """
    path = newest(directory, at_most_epoch, at_most_step)
    if path is None:
        return
    state = read_json(path / "state.json", "checkpoint")
    with parsing(path / "state.json"):
        made_by = state["environment"]["processes"]
    if made_by != processes:
        raise ArtifactError(
            "trained by another number of processes, and the points of one search must be trained "
            "alike; start as many again, or give another points_dir",
            where=path,
            got=processes,
            expected=made_by,
        )


def _number(path: Path) -> int:
    return int(path.name.rpartition("_")[2])


def _copy(module: nn.Module) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def read_tensors(path: Path) -> Tensors:
    """Read the tensors of a safetensors file by name.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    return {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}


def refuse_misfits(tensors: Tensors, model: Tensors, path: Path) -> None:
    """Refuse tensors of `path` whose names and shapes are not those of the model.

    Raises:
        ArtifactError: naming the first such tensor.
    """
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in model.items()}
    if got != expected:
        name = sorted(set(got.items()) ^ set(expected.items()))[0][0]
        raise ArtifactError(
            f"weights of another network: {name}",
            where=path,
            got=got.get(name, "nothing"),
            expected=expected.get(name, "nothing"),
        )
