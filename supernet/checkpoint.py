"""Checkpoints: safetensors for tensors, JSON for the rest; nothing is pickled.

A checkpoint is a directory that appears whole by one rename: ``epoch_NNNN`` where a training was
asked to stop (a recovery point, kept), ``partial_NNNN`` on the way (only the last is kept).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from mcuformer.artifact import (
    load_arrays,
    read_json,
    replacing_directory,
    save_arrays,
    write_json,
)
from mcuformer.errors import ArtifactError


def model_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Return the model's weights as named arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, path: Path) -> None:
    """Load weights from a safetensors file.

    Raises:
        ArtifactError: the file is missing, damaged or of another network.
    """
    arrays = load_arrays(path)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    got = {name: array.shape for name, array in arrays.items()}
    if got != expected:
        name = sorted(set(got.items()) ^ set(expected.items()))[0][0]
        raise ArtifactError(
            f"weights of another network: {name}",
            where=path,
            got=got.get(name, "nothing"),
            expected=expected.get(name, "nothing"),
        )
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})


def newest(directory: Path, at_most: int) -> Path | None:
    """Return the newest checkpoint under `directory` of at most so many epochs, or None."""
    found = {
        int(path.name.rpartition("_")[2]): path
        for kind in ("partial", "epoch")
        for path in directory.glob(f"{kind}_[0-9]*")
    }
    epochs = [epoch for epoch in found if epoch <= at_most]
    return found[max(epochs)] if epochs else None


def save(
    directory: Path,
    model: nn.Module,
    optimizer: Optimizer,
    state: dict[str, Any],
    *,
    recovery_point: bool,
) -> None:
    """Write a checkpoint after ``state["epoch"]`` finished epochs and drop the partial ones."""
    path = directory / f"{'epoch' if recovery_point else 'partial'}_{state['epoch']:04d}"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    moments = {
        f"{names[id(parameter)]}|{key}": value.detach().cpu().numpy()
        for parameter, entry in optimizer.state.items()
        for key, value in entry.items()
    }
    with replacing_directory(path) as temporary:
        save_arrays(temporary / "model.safetensors", model_arrays(model))
        save_arrays(temporary / "optimizer.safetensors", moments)
        write_json(temporary / "state.json", "checkpoint", state)
    for old in directory.glob("partial_*"):
        if old != path:
            shutil.rmtree(old)


def load(path: Path, model: nn.Module, optimizer: Optimizer | None) -> dict[str, Any]:
    """Restore model (and optimiser) from a checkpoint; return its state.

    Raises:
        ArtifactError: the checkpoint is damaged or belongs to another network.
    """
    state = read_json(path / "state.json", "checkpoint")
    load_model(model, path / "model.safetensors")
    if optimizer is None:
        return state
    parameters = dict(model.named_parameters())
    for name, array in load_arrays(path / "optimizer.safetensors").items():
        parameter_name, _, key = name.rpartition("|")
        if parameter_name not in parameters:
            raise ArtifactError(f"optimiser state of another network: {name}", where=path)
        optimizer.state[parameters[parameter_name]][key] = torch.from_numpy(array)
    return state
