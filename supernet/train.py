"""``python -m supernet.train``: train the supernet of one space point."""

from __future__ import annotations

import sys
from pathlib import Path

from mcuformer import entry
from mcuformer.artifact import Stage, locked, read_json, save_arrays, write_json
from mcuformer.data import DataConfig, load
from mcuformer.errors import ConfigError
from mcuformer.settings import Settings, execute
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import PositiveInt, RankRatio
from mcuformer.value import Value
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig


class PointChoice(Value):
    """The point to train; all null means the point that evolve.space chose."""

    rank_ratio: RankRatio | None = None
    mlp_rank_ratio: RankRatio | None = None
    patch_size: PositiveInt | None = None
    img_size: PositiveInt | None = None


class TrainConfig(Settings):
    """Configuration of supernet training.

    Args:
        points_dir: recovery points; concurrent jobs may share it.
    """

    points_dir: str

    data: DataConfig
    space: SearchSpace
    recipe: Recipe
    sampling: SamplingConfig
    point: PointChoice


def chosen_point(config: TrainConfig) -> SpacePoint | None:
    """Return the configured point, or None where the run's ``space.json`` decides.

    Raises:
        ConfigError: only one coordinate is given, or the point is not on the grid.
    """
    values = config.point.dump()
    if not any(values.values()):
        return None
    for name in ("rank_ratio", "patch_size"):
        if values[name] is None:
            raise ConfigError(
                "give both rank_ratio and patch_size, or neither", where=f"point.{name}"
            )
    point = SpacePoint.parse(values)
    config.space.check_point(point)
    return point


def stage(config: TrainConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        DataError: the space's networks take other images or classes.
    """
    config.data.check_network(config.space.smallest(config.space.points()[0]))
    inputs: list[Path] = [] if chosen_point(config) else [config.run.file("space.json")]
    outputs = ("supernet.safetensors", "supernet.json")
    return Stage("supernet.train", config.content(), [*inputs, *config.data.files()], outputs)


def train(config: TrainConfig) -> None:
    """Train until the recipe's last epoch, from the point's recovery point where there is one."""
    point = chosen_point(config)
    if point is None:
        space_file = config.run.file("space.json")
        point = SpacePoint.parse(read_json(space_file, "space")["point"], where=str(space_file))
        config.space.check_point(point)
    dataset = load(config.data, config.space.smallest(point).img_size)

    import torch

    from supernet import trainer
    from supernet.checkpoint import model_arrays

    torch.set_num_threads(config.threads)
    points_dir = Path(config.points_dir)
    task = trainer.supernet_task(
        config.space, point, dataset, config.recipe, config.seed, points_dir
    )
    with locked(task.directory, wait=True):
        trainer.train(task, config.recipe.epochs, f"supernet {point.name}")
    save_arrays(config.run.file("supernet.safetensors"), model_arrays(task.model))
    content = {
        "point": point.dump(),
        "space": config.space.dump(),
        "epochs": config.recipe.epochs,
    }
    write_json(config.run.file("supernet.json"), "supernet", content)


def main() -> int:
    """Run the command line."""
    return entry.run(
        "supernet_train", TrainConfig, lambda c: execute(c, stage(c), lambda: train(c))
    )


if __name__ == "__main__":
    sys.exit(main())
