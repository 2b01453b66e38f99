"""``python -m evolve.finetune``: fine-tune the search's winner, or train a subnet from scratch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mcuformer.data.dataset import DataConfig, load
from mcuformer.device import Device
from mcuformer.limits import PathText
from mcuformer.run.artifact import (
    RunDir,
    Stage,
    file_digest,
    read_value,
    save_arrays,
    write_json,
)
from mcuformer.run.command import Command, Settings
from mcuformer.run.progress import say
from mcuformer.run.threads import run_threads
from mcuformer.subnet import SubnetConfig
from supernet.pruning.counts import describe_pruning, pruning_counts
from supernet.pruning.settings import PruningConfig
from supernet.recipe import Recipe
from supernet.run_files import load_supernet, supernet_files


class FinetuneConfig(Settings):
    """Configuration of fine-tuning.

    Args:
        device: board that the run is for; only the default of `run_dir` depends on it.
        data: data set.
        recipe: optimiser, schedule and augmentation.
        subnet: ``subnet.json`` of a network to train from scratch; null takes the search's winner
            with its inherited weights.
        pruning: how the network is pruned while it trains; null is not at all.
        supernet: run directory whose supernet's largest subnet is the teacher ``largest`` of the
            recipe; null is this run.
    """

    without_effect: ClassVar[tuple[str, ...]] = (*Settings.without_effect, "device", "supernet")

    device: Device | None = None
    data: DataConfig
    recipe: Recipe
    subnet: PathText | None = None
    pruning: PruningConfig | None = None
    supernet: PathText | None = None

    @property
    def teacher_run(self) -> RunDir | None:
        """The run whose supernet teaches; None if the recipe has no such teacher."""
        distillation = self.recipe.distillation
        if distillation is None or distillation.teacher != "largest":
            return None
        return self.run if self.supernet is None else RunDir(self.supernet)


def stage(config: FinetuneConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        McuformerError: the user's subnet is damaged, for other channels or classes, or cannot be
            pruned as asked.
    """
    teachers = () if config.teacher_run is None else supernet_files(config.teacher_run)
    inputs = [subnet_file(config), *teachers]
    if config.subnet is None:
        inputs.append(config.run.file("weights.safetensors"))
    else:
        check_subnet(config, read_value(inputs[0], "subnet", SubnetConfig))
    outputs = ["finetuned_subnet.json", "model.safetensors", "config.json"]
    if config.pruning is not None:
        outputs.append("pruning.json")
    return Stage(FINETUNE.name, config.content(), [*inputs, *config.data.files()], tuple(outputs))


def subnet_file(config: FinetuneConfig) -> Path:
    """Return the file of the subnet to train."""
    return config.run.file("subnet.json") if config.subnet is None else Path(config.subnet)


def check_subnet(config: FinetuneConfig, subnet: SubnetConfig) -> None:
    """Refuse a network that does not suit the data or the pruning.

    Raises:
        DataError: it is for other channels or classes than the data's.
        ConfigError: it cannot be pruned as asked.
    """
    config.data.check_network(subnet)
    if config.pruning is not None:
        config.pruning.check(subnet.merged)


def finetune(config: FinetuneConfig) -> None:
    """Train on the training and steering splits; write the subnet and its weights.

    With pruning these are the pruned network's, and ``pruning.json`` counts its weights.

    Raises:
        ArtifactError: the subnet, its weights or the teacher are missing or damaged.
        ConfigError: the subnet cannot be pruned as asked.
        DataError: the subnet is for other channels or classes than the data's.
    """
    path = subnet_file(config)
    subnet = read_value(path, "subnet", SubnetConfig)
    check_subnet(config, subnet)
    dataset = load(config.data, subnet.img_size, crops=config.recipe.resized_crop_scale is not None)

    import torch

    from supernet.checkpoint import load_model, model_arrays
    from supernet.data import pad_value
    from supernet.pruning.prune import count_nonzero, prune
    from supernet.registry import write_timm_config
    from supernet.task import network_task, seed_everything
    from supernet.trainer import train
    from supernet.validation import TrainingAccuracy
    from supernet.vit import Vit

    seed_everything(config.seed, "init", "finetune")
    vit = Vit(subnet, pad_value(dataset.preprocessing), config.recipe.drop_path_rate)
    start = "scratch"
    if config.subnet is None:
        weights = config.run.file("weights.safetensors")
        load_model(vit, weights)
        start = file_digest(weights)
    identity = {"subnet": subnet.dump(), "start": start}
    teacher = None
    if config.teacher_run is not None:
        teacher = load_supernet(config.teacher_run, dataset.preprocessing)
        config.data.check_network(teacher.largest)
        identity["teacher"] = file_digest(supernet_files(config.teacher_run)[1])
    directory = config.run.file("finetune")
    task = network_task(vit, dataset, config.recipe, config.seed, directory, identity)
    task = replace(task, supernet=teacher)
    torch.set_num_threads(run_threads(config.run, config.threads))
    measure = TrainingAccuracy(dataset, config.seed)
    counts = config.run.file("pruning.json")
    if config.pruning is None:
        network = train(task, config.recipe.epochs, "fine-tuning", measure).model
        counts.unlink(missing_ok=True)  # of an earlier run with pruning
    else:
        network = prune(task, config.pruning, "fine-tuning", measure).model
        nonzero = count_nonzero(network)
        content = pruning_counts(config.pruning, subnet, network.subnet, nonzero)
        say(describe_pruning(content))
        write_json(counts, "pruning", content)
    save_arrays(config.run.file("model.safetensors"), model_arrays(network))
    write_json(config.run.file("finetuned_subnet.json"), "subnet", network.subnet.dump())
    write_timm_config(
        config.run.file("config.json"), network.subnet, dataset.preprocessing, dataset.class_names
    )


FINETUNE = Command("evolve.finetune", FinetuneConfig, stage, finetune)


if __name__ == "__main__":
    sys.exit(FINETUNE.main())
