"""``python -m evolve.space``: search for the space point that suits the budget.

With several processes: ``torchrun --nproc_per_node 2 -m evolve.space ...``. All walk the same path:
they train each supernet together, share the subnets to measure, and exchange the accuracies; the
first one alone reads and writes the run's files.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.quality import check_feasible
from evolve.supernet_landscape import EvolveSpaceConfig, SpaceLandscape
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.pictures import draw_space_search
from mcuformer.run.artifact import Stage, write_bytes, write_json
from mcuformer.run.progress import say
from mcuformer.seed import stream
from oplib.target.target import Target
from supernet.distributed import DistributedCommand


def check(config: EvolveSpaceConfig) -> Target:
    """Refuse a search that cannot succeed; return the target.

    Raises:
        BudgetError: no subnet of the space fits.
        DataError: data and space differ in channels or classes.
        ConfigError: the selector cannot work on this grid.
    """
    target = config.target
    config.data.check_network(config.space.smallest(config.space.points()[0]))
    config.space_search.check(config.space.shape)
    joint = config.space_search.joint or config.warm_start_epochs
    if joint and len(config.space.img_size) > 1:
        raise ConfigError("a joint supernet takes one image size", where="space.img_size")
    check_feasible(config.space.points(), config.space, target.cost, target.limit)
    return target


def stage(config: EvolveSpaceConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        McuformerError: as :func:`check`.
    """
    check(config)
    outputs = ("space.json", "space_search.jsonl", "space_search.png")
    return Stage(SPACE.name, config.content(), config.data.files(), outputs)


def evolve_space(config: EvolveSpaceConfig) -> None:
    """Search the space; write ``space.json``, its journal and its picture.

    Raises:
        BudgetError: no sampled subnet fits at any point.
        McuformerError: as :func:`check`.
    """
    landscape = SpaceLandscape(config, check(config))
    fractions = {i: landscape.admission(i)[0].fraction for i in np.ndindex(*landscape.shape)}
    if not any(fractions.values()):
        raise BudgetError(
            f"none of {config.space_search.num_samples} sampled subnets fits at any point; sample "
            "more, or widen budget or space",
            where="space_search.num_samples",
        )
    rng = stream(config.seed, "space_search")
    chosen = config.space_search.select(landscape, rng)
    if landscape.processes.is_main:
        _write(landscape, chosen, fractions)


def _write(landscape: SpaceLandscape, chosen: Index, fractions: dict[Index, float]) -> None:
    """Write the chosen point, the visits and their picture."""
    config, visits = landscape.config, landscape.history.visits
    rows = [
        {
            **visit.dump(),
            "point": config.space.point_at(visit.index).dump(),
            "admission": landscape.admission(visit.index)[0].dump(),
        }
        for visit in visits
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_bytes(config.run.file("space_search.jsonl"), lines.encode())
    picture = draw_space_search(config.space, [v.dump() for v in visits], chosen, fractions)
    write_bytes(config.run.file("space_search.png"), picture)
    point = config.space.point_at(chosen)
    trained = sum(visit.score is not None for visit in visits)
    search_epochs = trained * config.space_search.visit_epochs
    point_epochs = landscape.history.epochs(chosen)
    if landscape.origin is not None:  # supernet.train does not continue what started from it
        search_epochs += config.warm_start_epochs
        point_epochs = 0
    if config.space_search.joint:  # no epoch trained the point's own supernet
        search_epochs, point_epochs = visits[0].epochs, 0
    content = {
        "point": point.dump(),
        "selector": config.space_search.name,
        "visits": len(visits),
        "search_epochs": search_epochs,
        "point_epochs": point_epochs,
    }
    write_json(config.run.file("space.json"), "space", content)
    say(f"chosen: {point.name} after {len(visits)} visits")


SPACE = DistributedCommand("evolve.space", EvolveSpaceConfig, stage, evolve_space)


if __name__ == "__main__":
    sys.exit(SPACE.main())
