"""``python -m evolve.space``: move through the search space to the point that suits the budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evolve.history import Visit, best_visit
from evolve.quality import (
    check_feasible,
    mean_accuracy,
    measure_admission,
    sample_point,
    score,
)
from evolve.trend import Index, Proposal, TrendConfig, propose
from mcuformer import entry
from mcuformer.artifact import Stage, write_bytes, write_json
from mcuformer.data import DataConfig, Dataset, load
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.errors import ConfigError
from mcuformer.progress import say
from mcuformer.seed import stream
from mcuformer.settings import Settings, execute
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.footprint import footprint
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig

Accuracies = Callable[[SpacePoint, list[SubnetConfig]], float]


class EvolveSpaceConfig(Settings):
    """Configuration of the space search."""

    device: Device
    budget: BudgetConfig
    data: DataConfig
    space: SearchSpace
    recipe: Recipe
    sampling: SamplingConfig
    space_search: TrendConfig


def stage(config: EvolveSpaceConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        BudgetError, ConfigError: as :func:`check`, before anything is made.
    """
    check(config)
    outputs = ("space.json", "space_search.jsonl")
    return Stage("evolve.space", config.content(), config.data.files(), outputs)


@dataclass
class SpaceSearch:
    """The state of one search.

    Args:
        accuracy: trains a point's supernet T0 epochs and returns the mean accuracy, in percent, of
            the given admitted subnets.
    """

    config: EvolveSpaceConfig
    budget: Budget
    accuracy: Accuracies
    visits: list[Visit] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> Visit:
        """Visit points until the search is stationary or its budget of visits is spent."""
        search, space = self.config.space_search, self.config.space
        points = space.points()
        shape = (len(space.rank_ratio), len(space.patch_size))
        order = stream(self.config.seed, "space", "initial").permutation(len(points))
        for flat in order[: min(search.initial_points, search.max_visits)]:
            self._visit((int(flat) // shape[1], int(flat) % shape[1]), "initial", None)
        for flat in order[search.initial_points :]:  # until a plane can be fitted
            if sum(visit.score is not None for visit in self.visits) >= 3:
                break
            self._visit((int(flat) // shape[1], int(flat) % shape[1]), "initial", None)
        while len(self.visits) < search.max_visits:
            visited = [visit.index for visit in self.visits]
            proposal = propose(shape, visited, [visit.score for visit in self.visits], search)
            if proposal is None:
                say("space search: stationary, every neighbour of the best point is visited")
                break
            self._visit(proposal.index, proposal.rule, proposal)
        return best_visit(self.visits)

    def _visit(self, index: Index, rule: str, proposal: Proposal | None) -> None:
        config, search = self.config, self.config.space_search
        point = config.space.point_at(index)
        rng = stream(config.seed, "quality", point.name)
        subnets = sample_point(config.space, point, search.num_samples, rng)
        admission, admitted = measure_admission(
            subnets, lambda subnet: footprint(subnet, config.device), self.budget
        )
        accuracy = total = sram = None
        if admitted:
            chosen = admitted[: search.accuracy_subnets]
            accuracy = self.accuracy(point, chosen)
            total = score(accuracy, admission.fraction, search.lambda_rho)
            sram = float(np.mean([footprint(s, config.device).sram_bytes for s in admitted]))
        visit = Visit(
            point=point,
            index=index,
            epochs=search.visit_epochs if admitted else 0,
            admitted_fraction=admission.fraction,
            accuracy_percent=accuracy,
            score=total,
            sram_bytes=sram,
            rule=rule,
        )
        self.visits.append(visit)
        self.journal.append({**visit.dump(), "admission": admission.dump(), **_fit(proposal)})
        text = "no subnet fits" if total is None else f"Q = {total:.2f}"
        say(
            f"visit {len(self.visits)}: {point.name} ({rule}): {text}, rho {admission.fraction:.2f}"
        )


def _fit(proposal: Proposal | None) -> dict[str, Any]:
    if proposal is None:
        return {}
    trend = proposal.trend
    return {
        "slopes": trend.slopes.tolist(),
        "intercept": trend.intercept,
        "neighbours": list(trend.neighbours),
        "residual": trend.residual,
        "step": list(proposal.step),
    }


def supernet_accuracies(config: EvolveSpaceConfig, dataset: Dataset) -> Accuracies:
    """Return the callable that trains a point's supernet and measures subnets on steering data."""
    import torch

    from supernet import trainer
    from supernet.data import to_tensor
    from supernet.evaluate import accuracy_percent

    torch.set_num_threads(config.threads)
    images = to_tensor(dataset.steering.images, dataset.preprocessing)
    labels = torch.from_numpy(dataset.steering.labels)

    def measure(point: SpacePoint, subnets: list[SubnetConfig]) -> float:
        points_dir = config.run.file("points")
        task = trainer.supernet_task(
            config.space, point, dataset, config.recipe, config.seed, points_dir
        )
        trainer.train(task, config.space_search.visit_epochs, f"visit {point.name}")

        def accuracy(subnet: SubnetConfig) -> float:
            return accuracy_percent(lambda x: task.model(x, subnet), images, labels)

        return mean_accuracy(subnets, accuracy)

    return measure


def check(config: EvolveSpaceConfig) -> Budget:
    """Return the budget, after checking that a search makes sense at all.

    Raises:
        BudgetError: no subnet of the space fits.
        ConfigError: the grid is too small for a trend.
    """
    budget = Budget.of(config.budget, config.device)
    points = config.space.points()
    if len(points) < config.space_search.k:
        raise ConfigError(
            "the grid has fewer points than k",
            where="space_search.k",
            got=config.space_search.k,
            expected=f"at most {len(points)}",
        )
    check_feasible(points, config.space, lambda s: footprint(s, config.device), budget)
    return budget


def evolve_space(config: EvolveSpaceConfig) -> None:
    """Search the space and write ``space.json`` and ``space_search.jsonl``.

    Raises:
        BudgetError, ConfigError: as :func:`check`.
    """
    search = SpaceSearch(config, check(config), supernet_accuracies(config, load(config.data)))
    best = search.run()
    lines = "".join(json.dumps(entry) + "\n" for entry in search.journal)
    write_bytes(config.run.file("space_search.jsonl"), lines.encode())
    content = {"point": best.point.dump(), "score": best.score, "visits": len(search.visits)}
    write_json(config.run.file("space.json"), "space", content)


def main() -> int:
    """Run the command line."""
    return entry.run(
        "evolve_space", EvolveSpaceConfig, lambda c: execute(c, stage(c), lambda: evolve_space(c))
    )


if __name__ == "__main__":
    sys.exit(main())
