"""``python -m evolve.finetune``: train a network: the search's winner, one of the zoo, a subnet."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.device import Device
from mcuformer.errors import ArtifactError, ConfigError
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
from mcuformer.zoo_entry import ZooEntry, in_zoo, initial_files
from supernet.pruning.counts import describe_pruning, pruning_counts
from supernet.pruning.settings import PruningConfig
from supernet.recipe import Recipe
from supernet.run_files import load_supernet, read_shape, supernet_files

if TYPE_CHECKING:
    from supernet.model import Supernet

WEIGHTS = "model.safetensors"


class FinetuneConfig(Settings):
    """Configuration of fine-tuning.

    Args:
        device: board that the run is for; only the default of `run_dir` depends on it.
        data: data set.
        recipe: optimiser, schedule and augmentation.
        subnet: ``subnet.json`` of a network to train from scratch, or from `initial`; null takes
            the shape of `initial` if that is in the zoo, else the search's winner.
        initial: trained network to start from, of equal shape but for the number of classes:
            ``zoo:NAME`` or a safetensors file; null is none, which means inherited weights for the
            search's winner.
        pruning: how the network is pruned while it trains; null is not at all.
        teacher_run: run directory whose supernet's largest subnet is the teacher ``largest`` of
            the recipe; null is this run.
    """

    without_effect: ClassVar[tuple[str, ...]] = (*Settings.without_effect, "device", "teacher_run")
    later: ClassVar[tuple[str, ...]] = ("initial",)

    device: Device | None = None
    data: DataConfig
    recipe: Recipe
    subnet: PathText | None = None
    initial: PathText | None = None
    pruning: PruningConfig | None = None
    teacher_run: PathText | None = None

    @property
    def teaching(self) -> RunDir | None:
        """The run whose supernet teaches; None if the recipe has no such teacher."""
        distillation = self.recipe.distillation
        if distillation is None or distillation.teacher != "largest":
            return None
        return self.run if self.teacher_run is None else RunDir(self.teacher_run)


def stage(config: FinetuneConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        McuformerError: the user's subnet is damaged, for other channels or classes, or cannot be
            pruned as asked; `initial` names nothing, or what this stage writes; the run
            `teacher_run` cannot teach.
    """
    check_teacher(config)
    teachers = () if config.teaching is None else supernet_files(config.teaching)
    inputs = [*subnet_files(config), *teachers, *weights_files(config)]
    if subnet_files(config) != [config.run.file("subnet.json")]:  # which may not be there yet
        check_subnet(config, read_subnet(config))
    if config.run.file(WEIGHTS).resolve() in [path.resolve() for path in weights_files(config)]:
        raise ConfigError(
            "fine-tuning would start from what it writes; use another run_dir",
            where="initial",
            got=config.initial,
        )
    outputs = ["finetuned_subnet.json", WEIGHTS, "config.json"]
    if config.pruning is not None:
        outputs.append("pruning.json")
    files = [*inputs, *config.data.files()]
    return Stage(FINETUNE.name, config.content(), files, tuple(outputs))


def subnet_files(config: FinetuneConfig) -> list[Path]:
    """Return the file of the subnet to train; none if the zoo has it."""
    if config.subnet is not None:
        return [Path(config.subnet)]
    if config.initial is not None and in_zoo(config.initial):
        return []
    return [config.run.file("subnet.json")]


def weights_files(config: FinetuneConfig) -> list[Path]:
    """Return the weights to start from, and what describes them; none to start from nothing.

    Raises:
        ConfigError: the zoo has no entry of this name.
        ArtifactError: a file of the entry is damaged.
    """
    if config.initial is not None:
        return initial_files(config.initial)
    return [] if config.subnet is not None else [config.run.file("weights.safetensors")]


def read_subnet(config: FinetuneConfig) -> SubnetConfig:
    """Return the network to train; one of the zoo with as many classes as the data have.

    Raises:
        ArtifactError: the file of the subnet is missing or damaged.
    """
    files = subnet_files(config)
    if files:
        return read_value(files[0], "subnet", SubnetConfig)
    subnet = ZooEntry.named(str(config.initial)).manifest.subnet
    return subnet.model_copy(update={"num_classes": config.data.num_classes})


def check_teacher(config: FinetuneConfig) -> None:
    """Refuse a `teacher_run` that cannot teach. This run's own supernet may not be trained yet.

    Raises:
        ArtifactError: it has no trained supernet, or a damaged one.
        ConfigError: the recipe has no teacher ``largest``.
        DataError: the supernet is for other channels or classes than the data's.
    """
    if config.teacher_run is None:
        return
    if config.teaching is None:
        raise ConfigError(
            "has no effect without a teacher",
            where="teacher_run",
            got=config.teacher_run,
            expected="recipe.distillation.teacher=largest",
        )
    for path in supernet_files(config.teaching):
        if not path.exists():
            raise ArtifactError("no such file; supernet.train writes it", where=path)
    space, _ = read_shape(config.teaching)
    config.data.check_network(space.smallest(space.points()[0]))


def check_subnet(config: FinetuneConfig, subnet: SubnetConfig) -> None:
    """Refuse a network that does not suit the data or the pruning.

    Raises:
        DataError: it is for other channels or classes than the data's.
        ConfigError: it cannot be pruned as asked.
    """
    config.data.check_network(subnet)
    if config.pruning is not None:
        config.pruning.check(subnet.merged)


def load_teacher(
    config: FinetuneConfig, teaching: RunDir, dataset: Dataset, img_size: int
) -> Supernet:
    """Load the supernet whose largest subnet teaches.

    Args:
        config: settings.
        teaching: run with the supernet.
        dataset: images of the training.
        img_size: their side in pixels.

    Raises:
        ArtifactError: the supernet is missing or damaged.
        ConfigError: it sees images of another size.
        DataError: it is for other channels or classes than the data's.
    """
    teacher = load_supernet(teaching, dataset.preprocessing)
    config.data.check_network(teacher.largest)
    if teacher.largest.img_size != img_size:
        raise ConfigError(
            "the teacher sees images of another size",
            where="teacher_run",
            got=teacher.largest.img_size,
            expected=img_size,
        )
    return teacher


def finetune(config: FinetuneConfig) -> None:
    """Train on the training and steering splits; write the subnet and its weights.

    With pruning these are the pruned network's, and ``pruning.json`` counts its weights.

    Raises:
        ArtifactError: the subnet, its weights or the teacher are missing or damaged.
        ConfigError: the subnet cannot be pruned as asked, or the teacher is for another size.
        DataError: the subnet is for other channels or classes than the data's.
    """
    subnet = read_subnet(config)
    check_subnet(config, subnet)
    dataset = load(config.data, subnet.img_size, crops=config.recipe.resized_crop_scale is not None)

    import torch

    from supernet.checkpoint import model_arrays
    from supernet.data import pad_value
    from supernet.initialize import start
    from supernet.pruning.prune import count_nonzero, prune
    from supernet.registry import write_timm_config
    from supernet.task import network_task, seed_everything
    from supernet.trainer import train
    from supernet.validation import TrainingAccuracy
    from supernet.vit import Vit

    seed_everything(config.seed, "init", "finetune")
    vit = Vit(subnet, pad_value(dataset.preprocessing), config.recipe.drop_path_rate)
    beginning, files = "scratch", weights_files(config)
    if files:
        start(vit, files[0])
        beginning = file_digest(files[0])
    identity = {"subnet": subnet.dump(), "start": beginning}
    teacher = None
    if config.teaching is not None:
        teacher = load_teacher(config, config.teaching, dataset, subnet.img_size)
        identity["teacher"] = file_digest(supernet_files(config.teaching)[1])
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
    save_arrays(config.run.file(WEIGHTS), model_arrays(network))
    write_json(config.run.file("finetuned_subnet.json"), "subnet", network.subnet.dump())
    write_timm_config(
        config.run.file("config.json"), network.subnet, dataset.preprocessing, dataset.class_names
    )


FINETUNE = Command("evolve.finetune", FinetuneConfig, stage, finetune)


if __name__ == "__main__":
    sys.exit(FINETUNE.main())
