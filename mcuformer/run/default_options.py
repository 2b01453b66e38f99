"""Which options a command takes unless the command line names others, as resolvers of ``conf/``.

A data set may stand for an experiment, ``conf/experiment/NAME.yaml``, whose options are then its
defaults. So one command line names the data set alone, and the experiment is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mcuformer.run.presets import UserFiles, conf_dir, read_yaml
from mcuformer.run.sized_spaces import default_space
from mcuformer.tokenizer import MAX_CONV_STRIDE, NUM_CONVS

EXPERIMENTS = {"image_folder": "photos"}  # by data set
TOKENS_PER_SIDE = 8
OVERRIDE = "override /"


def default_option(place: str, otherwise: str, data: str) -> str:
    """Return the option that a command takes at a place of its configuration by default.

    Args:
        place: key of the chain's configuration, for instance ``finetune``.
        otherwise: the option for a data set that stands for no experiment.
        data: name of the data set's preset.

    >>> default_option("finetune", "finetune", "digits")
    'finetune'
    """
    experiment = EXPERIMENTS.get(data)
    return otherwise if experiment is None else options_of(experiment).get(place, otherwise)


def options_of(experiment: str) -> dict[str, str]:
    """Return the options that a shipped experiment chooses, by their place in the configuration."""
    content = read_yaml(conf_dir() / "experiment" / f"{experiment}.yaml")
    chosen = {}
    for entry in content.get("defaults", ()):
        for key, option in entry.items():
            group, _, package = key.removeprefix(OVERRIDE).partition("@")
            chosen[package or group] = option
    return chosen


def patch_size(img_size: int | None) -> int | None:
    """Return the patch of two convolutions that cuts an image into about 8 x 8 tokens.

    Hydra prints configurations whose files have not been asked for a size: null stays null.

    >>> patch_size(32), patch_size(96), patch_size(224)
    (4, 12, 12)
    """
    if img_size is None:
        return None
    step: int = 2 ** NUM_CONVS["conv2"]
    strides = round(img_size / TOKENS_PER_SIDE / step)
    return step * min(max(strides, 1), MAX_CONV_STRIDE)


def points_beside(run_dir: str, device: str) -> str:
    """Return the directory of recovery points: the runs of several devices side by side share one.

    >>> points_beside("runs/digits/stm32f100", "stm32f100"), points_beside("runs/a", "stm32f100")
    ('runs/digits/points', 'runs/a/points')
    """
    path = Path(run_dir)
    return str((path.parent if path.name == device else path) / "points")


def experiment_name(files: Mapping[str, Path]) -> str | None:
    """Return the name of this job's experiment; None if it has none.

    It is the one that the command line names, or the one that the data set stands for.

    Args:
        files: files of the user's own experiments, by Hydra's name for them.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():  # a tool composes a configuration
        return None
    choices = HydraConfig.get().runtime.choices
    option: str | None = choices.get("experiment")
    if option is None:
        return EXPERIMENTS.get(choices["data"])
    return files[option].stem if option in files else option


def register_resolvers(files: UserFiles) -> None:
    """Make the functions of this module known to ``conf/``.

    Args:
        files: files of the user's own presets, by group and Hydra's name for them.
    """
    from omegaconf import OmegaConf

    resolvers: dict[str, Callable[..., Any]] = {
        "default_space": partial(default_space, files=files.get("device", {})),
        "default_option": default_option,
        "experiment": partial(experiment_name, files.get("experiment", {})),
        "patch_size": patch_size,
        "points_beside": points_beside,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def resolved(option: str, choices: Mapping[str, str]) -> str:
    """Return an option of a defaults list, resolved as Hydra does; `choices` are the others.

    Args:
        option: the option, which may be an interpolation of others.
        choices: options by place.
    """
    from omegaconf import OmegaConf

    register_resolvers({})
    return str(OmegaConf.create({**choices, "resolved": option})["resolved"])
