r"""Train every point of a space's grid from several seeds, and write its scores as a table.

    python tools/tabulate_space.py data=digits device=stm32f100 [--seeds 2] [--visits 4] \
        [--train-images N] [--table FILE] [--out FOLDER] [--json]

Overrides are those of evolve.space. Each point's supernet is trained for `--visits` visits of
`space_search.visit_epochs`, and scored after each as in a search: accuracy on the steering split.
Every figure is written as soon as it is measured; the same command continues an unfinished table.
`python tools/bench_trend.py --table FILE` replays the selectors on a finished one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tool
from space_table import KIND, Measured, SpaceTable
from tool import Parser

from evolve.space import check
from evolve.supernet_landscape import EvolveSpaceConfig, SpaceLandscape
from mcuformer.data.dataset import load
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import read_value, write_json
from mcuformer.run.entry import compose
from mcuformer.run.folder import locked
from mcuformer.run.progress import say

DECILES = np.linspace(0.0, 1.0, 11)
TARGET = ("device", "budget", "forms")
SCORING = ("num_samples", "accuracy_subnets")  # settings of the selector that a score depends on


def config_of(options: argparse.Namespace, seed: int) -> EvolveSpaceConfig:
    """Return the settings of a search with a seed."""
    own = [f"run_dir={options.out}", f"points_dir={options.out / f'seed{seed}'}", f"seed={seed}"]
    overrides = [*own, *options.overrides]
    return EvolveSpaceConfig.parse(compose("evolve_space", overrides, EvolveSpaceConfig))


def landscape_of(config: EvolveSpaceConfig, train_images: int | None) -> SpaceLandscape:
    """Return the landscape of a search, trained on the first `train_images` images only."""
    landscape = SpaceLandscape(config, check(config))
    for img_size in config.space.img_size:
        crops = config.recipe.resized_crop_scale is not None
        dataset = load(config.data, img_size, crops=crops)
        images = np.arange(min(train_images or len(dataset.train), len(dataset.train)))
        landscape.datasets[img_size] = replace(dataset, train=dataset.train.take(images))
    return landscape


def empty_table(options: argparse.Namespace, config: EvolveSpaceConfig) -> SpaceTable:
    """Return a table without rows, which says what its figures depend on."""
    content = config.content()
    settings = {name: content[name] for name in (*TARGET, "data", "recipe", "sampling")}
    settings |= {name: content["space_search"][name] for name in SCORING}
    del settings["data"]["root"]
    return SpaceTable(
        space=config.space,
        settings={**settings, "train_images": options.train_images},
        visit_epochs=config.space_search.visit_epochs,
        visits=options.visits,
        seeds=tuple(range(options.seeds)),
    )


def resumed(path: Path, empty: SpaceTable) -> SpaceTable:
    """Return the unfinished table at `path`, or an empty one if there is none.

    Raises:
        ConfigError: the table was begun with other settings.
    """
    if not path.exists():
        return empty
    table = read_value(path, KIND, SpaceTable)
    for name in ("space", "settings", "visit_epochs", "visits"):
        if getattr(table, name) != getattr(empty, name):
            raise ConfigError(f"begun with other {name}", where=path, expected="another --table")
    return table.model_copy(update={"seeds": tuple(sorted({*table.seeds, *empty.seeds}))})


def completed(row: Measured, landscape: SpaceLandscape) -> Measured:
    """Return a row with the score after one more visit; the row itself if nothing fits."""
    done = len(row.accuracy_percent) + 1
    epochs = done * landscape.config.space_search.visit_epochs
    visit = landscape.measure(row.index, epochs, "table")
    accuracy = () if visit.accuracy_percent is None else (visit.accuracy_percent,)
    macs = landscape.admitted_macs(row.index)
    return row.model_copy(
        update={
            "admitted_fraction": visit.admitted_fraction,
            "sram_bytes": visit.sram_bytes,
            "macs_deciles": tuple(map(int, np.quantile(macs, DECILES))) if macs else (),
            "accuracy_percent": (*row.accuracy_percent, *accuracy),
        }
    )


def tabulate(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the table lacks, and write it after every figure."""
    tool.require_at_least(1, seeds=options.seeds, visits=options.visits)
    if options.train_images is not None:
        tool.require_at_least(1, train_images=options.train_images)
    with locked(options.out, wait=False):
        return _tabulate(options)


def _tabulate(options: argparse.Namespace) -> dict[str, Any]:
    table = resumed(options.table, empty_table(options, config_of(options, 0)))
    rows = {(row.seed, row.index): row for row in table.rows}
    for seed in range(options.seeds):
        landscape = landscape_of(config_of(options, seed), options.train_images)
        for index in np.ndindex(*landscape.shape):
            row = rows.get((seed, index)) or Measured(index=index, seed=seed)
            while len(row.accuracy_percent) < options.visits:
                longer = completed(row, landscape)
                rows[seed, index] = longer
                content = table.model_copy(update={"rows": tuple(rows.values())}).dump()
                write_json(options.table, KIND, content)
                if longer.sram_bytes is None:
                    break
                row = longer
            say(
                f"{len(rows)}: seed {seed}, {table.space.point_at(index).name}: {rows[seed, index]}"
            )
    return {"table": str(options.table), "rows": len(rows)}


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of evolve.space")
    parser.add_argument("--seeds", type=int, default=2, help="trainings per point (2)")
    parser.add_argument("--visits", type=int, default=4, help="longest training, in visits (4)")
    parser.add_argument("--train-images", type=int, help="train on this many images only")
    parser.add_argument("--out", type=Path, default=Path("runs/tabulate_space"))
    parser.add_argument("--table", type=Path, default=Path("runs/tabulate_space/table.json"))
    return tool.run(parser, tabulate)


if __name__ == "__main__":
    raise SystemExit(main())
