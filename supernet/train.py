"""``python -m supernet.train``: train the supernet of one space point, or the joint one.

With several processes: ``torchrun --nproc_per_node 2 -m supernet.train ...``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from mcuformer.data.dataset import DataConfig, load
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import ConfigError
from mcuformer.limits import ImgSize, PatchSize, PathText, RankRatio
from mcuformer.run.artifact import Stage, save_arrays, write_bytes, write_json
from mcuformer.run.chosen_point import read_point
from mcuformer.run.command import Settings
from mcuformer.run.progress import say
from mcuformer.run.threads import run_threads
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.value import Value
from mcuformer.zoo_entry import ZooEntry, in_zoo, initial_files
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.target.target import Target
from supernet.distributed import DistributedCommand
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig


class PointChoice(Value):
    """The space point to train.

    All null means the point that evolve.space chose in the same run directory or, if it did not
    run there, the middle of the space.
    """

    rank_ratio: RankRatio | None = None
    mlp_rank_ratio: RankRatio | None = None
    patch_size: PatchSize | None = None
    img_size: ImgSize | None = None


class TrainConfig(Settings):
    """Configuration of supernet training.

    Args:
        points_dir: directory of recovery points; concurrent jobs may share it.
        device: board whose budget limits sampling and validation; null is no limit.
        budget: memory that may be used; null is all that the device has.
        forms: forms of the operators, on which the footprint depends.
        data: data set.
        space: search space of the subnets.
        recipe: optimiser, schedule and augmentation.
        sampling: which subnets a step visits.
        point: space point to train; must be null if `joint`.
        joint: train one supernet over all points.
        initial: trained network to start from: ``zoo:NAME``, or a safetensors file in timm's names;
            null is none.
        trackers: names of accelerate's trackers; ``metrics.jsonl`` is always written.
    """

    points_dir: PathText
    device: Device | None = None
    budget: BudgetConfig = BudgetConfig()
    forms: Forms = DEFAULT_FORMS
    data: DataConfig
    space: SearchSpace
    recipe: Recipe
    sampling: SamplingConfig
    point: PointChoice = PointChoice()
    joint: bool = False
    initial: PathText | None = None
    trackers: tuple[str, ...] = ()

    @property
    def target(self) -> Target | None:
        """Device, budget and forms as one value, or None without a device.

        Raises:
            BudgetError: the budget exceeds the device's memory.
        """
        return None if self.device is None else Target(self.device, self.budget, self.forms)


def chosen_point(config: TrainConfig) -> SpacePoint | None:
    """Return the configured point, or None if none is configured.

    Raises:
        ConfigError: a coordinate is missing, the point is not on the grid, or the supernet is
            joint.
    """
    values = config.point.dump()
    if not any(values.values()):
        return None
    for name in ("rank_ratio", "patch_size"):
        if values[name] is None:
            raise ConfigError(
                "give both rank_ratio and patch_size, or neither", where=f"point.{name}"
            )
    if config.joint:
        raise ConfigError("a joint supernet has no point of its own", where="point")
    point = SpacePoint.parse(values)
    config.space.check_point(point)
    return point


def stage(config: TrainConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        ConfigError: point, joint training or initial weights do not suit the space; the zoo has no
            such entry.
        DataError: data and space differ in channels or classes.
    """
    config.data.check_network(config.space.smallest(config.space.points()[0]))
    if config.initial is not None and config.space.qkv_dim is not None:
        raise ConfigError(
            "a space with qkv_dim has heads of several widths, which no dense network fits",
            where="initial",
        )
    if config.joint and len(config.space.img_size) > 1:
        raise ConfigError("a joint supernet takes one image size", where="space.img_size")
    space_file = config.run.file("space.json")
    reads_space = chosen_point(config) is None and not config.joint and space_file.exists()
    inputs: list[Path] = [space_file] if reads_space else []
    if config.initial is not None:
        inputs += initial_files(config.initial)
        check_initial(config.initial, config.space)
    outputs = ("supernet.safetensors", "supernet.json", "metrics.jsonl")
    content = {name: value for name, value in config.content().items() if name != "trackers"}
    return Stage(TRAIN.name, content, [*inputs, *config.data.files()], outputs)


def check_initial(initial: str, space: SearchSpace) -> None:
    """Refuse a network of the zoo that no supernet of the space can start from.

    :func:`supernet.initialize.initialize` compares every weight once the point is known.

    Raises:
        ConfigError: its width or depth differs.
    """
    if not in_zoo(initial):
        return
    largest, found = space.largest(space.points()[0]), ZooEntry.named(initial).manifest.subnet
    if found.embed_dim != largest.embed_dim or found.depth < largest.depth:
        raise ConfigError(
            "not as wide or deep as the supernet",
            where="initial",
            got=f"embed_dim {found.embed_dim}, depth {found.depth}",
            expected=f"embed_dim {largest.embed_dim}, depth at least {largest.depth}",
        )


def resolve_point(config: TrainConfig) -> SpacePoint | None:
    """Return the point to train, or None for the joint supernet.

    Raises:
        ArtifactError: ``space.json`` is damaged.
        ConfigError: the point is not on the grid.
    """
    if config.joint:
        return None
    point, space_file = chosen_point(config), config.run.file("space.json")
    if point is not None:
        return point
    if not space_file.exists():
        point = config.space.middle()
        say(f"no point is given and {space_file} is missing: the middle of the space, {point.name}")
        return point
    point = read_point(space_file)
    config.space.check_point(point)
    return point


def train(config: TrainConfig) -> None:
    """Train to the recipe's last epoch, from the point's newest recovery point if there is one.

    Raises:
        BudgetError: no subnet of the space fits the device.
    """
    point = resolve_point(config)
    img_size = config.space.smallest(point or config.space.points()[0]).img_size
    dataset = load(config.data, img_size, crops=config.recipe.resized_crop_scale is not None)

    import torch

    from supernet import trainer
    from supernet.checkpoint import model_arrays
    from supernet.processes import Processes
    from supernet.task import SupernetSetting, subnet_pool, supernet_task
    from supernet.validation import Probes

    processes = Processes()
    setting = SupernetSetting(
        config.recipe,
        config.sampling,
        config.seed,
        Path(config.points_dir),
        config.target,
        None if config.initial is None else initial_files(config.initial)[0],
    )
    task = supernet_task(config.space, point, dataset, setting)
    task = replace(task, trackers=config.trackers)
    torch.set_num_threads(run_threads(config.run, config.threads))
    probes = Probes(subnet_pool(config.space, point, setting), dataset)
    name = "joint" if point is None else point.name
    with processes.holding(task.directory):
        trained = trainer.train(task, config.recipe.epochs, f"supernet {name}", probes)
    if not processes.is_main:
        return
    save_arrays(config.run.file("supernet.safetensors"), model_arrays(trained.model))
    metrics = task.directory / "metrics.jsonl"
    write_bytes(config.run.file("metrics.jsonl"), metrics.read_bytes())
    content = {
        "point": None if point is None else point.dump(),
        "space": config.space.dump(),
        "epochs": config.recipe.epochs,
    }
    write_json(config.run.file("supernet.json"), "supernet", content)


TRAIN = DistributedCommand("supernet.train", TrainConfig, stage, train)


if __name__ == "__main__":
    sys.exit(TRAIN.main())
