"""``python -m evolve.search``: find the most accurate subnet that fits the budget.

With several processes: ``torchrun --nproc_per_node 2 -m evolve.search ...``. Each one evaluates
proposals of one study, on a device of its own; the first one writes the run's files.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evolve.evaluation.combination import check_combination, check_metrics
from evolve.evaluation.evaluator import Workbench
from evolve.evaluation.evaluators import EvaluatorConfig
from evolve.evaluation.finalists import final, int8_accuracy_percent, integer_network
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.records import recorded
from evolve.searched_point import SearchedPoint
from evolve.space_search.quality import check_feasible
from evolve.subnet_search.candidate import Candidate, Metric
from evolve.subnet_search.pareto import front
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategies import StrategyConfig
from evolve.subnet_search.task import Search, Task
from mcuformer import __version__
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.errors import ConfigError, McuformerError
from mcuformer.limits import PathText, Workers
from mcuformer.run.artifact import (
    RunDir,
    Stage,
    canonical_json,
    digest,
    file_digest,
    save_arrays,
    write_bytes,
    write_json,
)
from mcuformer.run.entry import fail
from mcuformer.run.progress import Meter, process_count, say, silence
from mcuformer.run.threads import run_threads
from mcuformer.subnet import SubnetConfig
from oplib.target.target import TargetSettings
from supernet.distributed import DistributedCommand
from supernet.recipe import check_batch_size

if TYPE_CHECKING:
    import torch

    from evolve.subnet_search.study import Study
    from supernet.model import Supernet

JOURNAL = "search/journal.log"  # of the study, unless the user names another
PICTURE = "search.png"


class SearchConfig(TargetSettings):
    """Configuration of the subnet search.

    Args:
        data: data set; its steering split measures accuracy.
        strategy: strategy of the search, with its settings.
        evaluator: how the accuracy of a subnet is found.
        objectives: metrics to optimise; ``search.jsonl`` marks the Pareto front.
        finalists: number of best candidates whose int8 accuracy on the steering split decides,
            by the integer reference; 0 takes the best by the evaluator.
        study: journal or database of evaluations, which several runs may share; null is
            ``search/journal.log`` of the run.
        workers: number of processes that evaluate; 1 where torchrun starts them.
        supernet: run directory whose supernet is searched; null is this run.
    """

    without_effect: ClassVar[tuple[str, ...]] = (
        *TargetSettings.without_effect,
        "study",
        "workers",
        "supernet",
    )

    data: DataConfig
    strategy: StrategyConfig
    evaluator: EvaluatorConfig = InheritedConfig()
    objectives: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=5)] = (
        "accuracy_percent",
    )
    finalists: Annotated[int, Field(ge=0, le=1000)] = 0
    study: PathText | None = None
    workers: Workers = 1
    supernet: PathText | None = None

    @property
    def source(self) -> RunDir:
        """The run directory with the supernet, and with the chosen point if that is joint."""
        return self.run if self.supernet is None else RunDir(self.supernet)


def stage(config: SearchConfig) -> Stage:
    """Return what the command reads and writes.

    Raises:
        ConfigError: racing with other objectives than accuracy, or trainings that differ where
            nothing is trained, or torchrun and workers that are asked for.
    """
    if process_count() > 1 and config.workers > 1:
        raise ConfigError(
            "the processes of torchrun are the workers",
            where="workers",
            got=config.workers,
            expected="1",
        )
    check_combination(config.strategy, config.evaluator, config.objectives)
    inputs = [config.source.file(name) for name in ("supernet.json", "supernet.safetensors")]
    picture = (PICTURE,) if config.strategy.draws else ()
    outputs = ("subnet.json", "weights.safetensors", "search.jsonl", *picture)
    return Stage(SEARCH.name, config.content(), [*inputs, *config.data.files()], outputs)


def search(config: SearchConfig) -> None:
    """Search; write ``subnet.json``, its inherited weights, ``search.jsonl``, a picture if any.

    A joint supernet is searched at the point of ``space.json``. What is proposed depends only on
    the settings, the seed and the candidates so far. So an interrupted search, run again, proposes
    the same subnets and takes from its study what was evaluated before.

    Raises:
        ArtifactError: the supernet or the study is missing or damaged.
        BudgetError: no subnet of the point fits, or an objective has no bound.
        ConfigError: an objective is not modelled.
    """
    from supernet.processes import Processes

    processes = Processes()
    if not processes.is_main:
        processes.wait()  # until the main process has opened the study
        work_along(config)
        return
    session = Session.open(config)
    processes.wait()
    study, total = session.study, config.strategy.evaluations
    with (
        workers(config, config.workers - 1),
        Meter("subnet search", total, len(study.candidates())) as meter,
    ):
        study.work(session.evaluate, lambda candidates: meter.update(len(candidates)))
    candidates = study.candidates()
    best, int8 = final(
        config.strategy,
        session.problem,
        candidates,
        config.finalists,
        partial(_int8_percent, config, session.bench, tuple(candidates)),
    )
    time = "not modelled" if best.ms_high is None else f"at most {best.ms_high:,.1f} ms (modelled)"
    say(
        f"best of {len(candidates)} subnets: {best.accuracy_percent:.2f} % on steering data "
        f"(evaluator={config.evaluator.name}), "
        f"{best.sram_bytes} bytes of SRAM, {best.flash_bytes} of flash, time {time}"
    )
    chosen = set(front([session.problem.losses(candidate) for candidate in candidates]))
    rows = [
        {**_row(candidate, int8.get(candidate.key)), "on_front": index in chosen}
        for index, candidate in enumerate(candidates)
    ]
    _write(config, session.bench.supernet, rows, best.subnet)
    if config.strategy.draws:
        write_bytes(config.run.file(PICTURE), config.strategy.picture(session.problem))


@dataclass(frozen=True)
class Session:
    """What a process needs to evaluate the search's proposals.

    Args:
        problem: subnets, limits and objectives.
        bench: what the evaluator works with.
        study: evaluations so far.
        evaluate: measures a proposal.
    """

    problem: Problem
    bench: Workbench
    study: Study
    evaluate: Callable[[Task], Candidate]

    @classmethod
    def open(cls, config: SearchConfig) -> Session:
        """Load supernet, data and study.

        Raises:
            ArtifactError: the supernet or the study is missing or damaged.
            BudgetError: no subnet of the point fits, or an objective has no bound.
            ConfigError: an objective is not modelled, or a batch of the evaluator is larger than
                the training split.
        """
        searched, target = SearchedPoint.of_run(config.source), config.target
        space, point = searched.space, searched.point
        check_feasible([point], space, target.cost, target.limit)
        problem = Problem(
            space, (point,), target.admits, target.limit, config.objectives, config.budget.soft
        )
        check_metrics(config.strategy, problem, config.device)
        recipes = config.evaluator.recipes("evaluator")
        crops = any(recipe.resized_crop_scale is not None for recipe in recipes.values())
        dataset = load(config.data, space.smallest(point).img_size, crops=crops)
        for where, recipe in recipes.items():
            check_batch_size(recipe, len(dataset.train), where)
        search = Search(config.strategy, problem, config.seed)
        evaluation = _evaluation(config, searched, search, dataset)
        bench = _workbench(config, searched, search, dataset, evaluation)
        measure = config.evaluator.measure(bench)

        def evaluate(task: Task) -> Candidate:
            cost = target.cost(task.proposal.subnet)
            memory, accuracy = cost.footprint, measure(task)
            sizes = memory.sram_bytes, memory.flash_bytes, cost.ms_high
            return Candidate(task.proposal, accuracy.percent, *sizes, accuracy.images)

        return cls(problem, bench, _open_study(config, search, evaluation), evaluate)


@contextmanager
def workers(config: SearchConfig, count: int) -> Iterator[None]:
    """Let so many further processes evaluate the search's proposals.

    They end when nothing is left to do, or with this process. One that is killed loses its
    evaluation, which another one makes; one that fails leaves its line on standard error.
    """
    context = multiprocessing.get_context("spawn")
    content = json.dumps(config.dump())
    processes = [
        context.Process(target=_work_for, args=(content, os.getpid()), daemon=True)
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()


def _work_for(content: str, parent: int) -> None:
    """Evaluate proposals in a process of its own, as long as its parent lives."""
    silence()  # the parent speaks for all

    def check() -> None:
        if os.getppid() != parent:
            raise SystemExit

    try:
        work_along(SearchConfig.parse(json.loads(content)), check)
    except McuformerError as error:
        fail(error)
    except KeyboardInterrupt:
        pass  # the parent says so


def work_along(config: SearchConfig, check: Callable[[], None] = lambda: None) -> None:
    """Evaluate proposals of a search that another process began; `check` is asked before each."""
    session = Session.open(config.model_copy(update={"overwrite": False}))

    def evaluate(task: Task) -> Candidate:
        check()
        return session.evaluate(task)

    session.study.work(evaluate)


def _int8_percent(
    config: SearchConfig, bench: Workbench, history: tuple[Candidate, ...], candidate: Candidate
) -> float:
    """Return a candidate's int8 accuracy on the steering split, which is kept in the run."""
    path = bench.directory / "int8" / f"{candidate.key}.json"

    def measure() -> float:
        network = config.evaluator.network(bench, Task(0, candidate.proposal, history))
        integer = integer_network(network, bench.dataset, config.forms)
        return int8_accuracy_percent(integer, bench.dataset.steering)

    return recorded(path, measure)


def _write(
    config: SearchConfig, supernet: Supernet, rows: list[dict[str, Any]], best: SubnetConfig
) -> None:
    """Write the rows of all candidates, and the best with its inherited weights."""
    from supernet.checkpoint import model_arrays
    from supernet.extract import extract

    lines = [json.dumps(row) + "\n" for row in rows]
    write_bytes(config.run.file("search.jsonl"), "".join(lines).encode())
    vit = extract(supernet, best)
    save_arrays(config.run.file("weights.safetensors"), model_arrays(vit))
    write_json(config.run.file("subnet.json"), "subnet", vit.subnet.dump())


def _workbench(
    config: SearchConfig,
    searched: SearchedPoint,
    search: Search,
    dataset: Dataset,
    evaluation: dict[str, Any],
) -> Workbench:
    """Return what the evaluator works with."""
    import torch

    from supernet.processes import Processes

    threads = run_threads(config.run, config.threads)
    torch.set_num_threads(max(1, threads // config.workers))
    device = Processes().device
    return Workbench(
        dataset=dataset,
        load_supernet=lambda: _load_supernet(config, searched, dataset, device),
        device=device,
        search=search,
        directory=config.run.file("search") / digest(canonical_json(evaluation).encode())[:16],
    )


def _load_supernet(
    config: SearchConfig, searched: SearchedPoint, dataset: Dataset, device: torch.device
) -> Supernet:
    """Load the run's trained supernet."""
    from supernet.checkpoint import load_model
    from supernet.data import pad_value
    from supernet.model import Supernet

    point = None if searched.joint else searched.point
    supernet = Supernet(searched.space, point, pad_value(dataset.preprocessing))
    load_model(supernet, config.source.file("supernet.safetensors"))
    return supernet.to(device)


def _evaluation(
    config: SearchConfig, searched: SearchedPoint, search: Search, dataset: Dataset
) -> dict[str, Any]:
    """Return everything that an evaluation depends on, apart from its subnet."""
    return {
        "version": __version__,
        "point": searched.point.dump(),
        "space": searched.space.dump(),
        "supernet": file_digest(config.source.file("supernet.safetensors")),
        "steering": dataset.steering.digest,
        "preprocessing": dataset.preprocessing.dump(),
        "target": config.target.identity(),
        "evaluator": config.evaluator.identity(search, dataset),
    }


def _open_study(config: SearchConfig, search: Search, evaluation: dict[str, Any]) -> Study:
    """Open the study of evaluations that depend on the same."""
    import torch

    from evolve.subnet_search.study import Study

    conditions = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    given = config.study
    location = str(config.run.file(JOURNAL)) if given is None else given
    anew, shared = config.overwrite, given is not None
    return Study(location, evaluation, search, conditions, anew=anew, shared=shared)


def _row(candidate: Candidate, int8_percent: float | None) -> dict[str, Any]:
    return {
        "accuracy_percent": candidate.accuracy_percent,
        "sram_bytes": candidate.sram_bytes,
        "flash_bytes": candidate.flash_bytes,
        "macs": candidate.subnet.macs,
        "ms_high": candidate.ms_high,
        "images": candidate.images,
        "int8_percent": int8_percent,
        "subnet": candidate.subnet.dump(),
    }


SEARCH = DistributedCommand("evolve.search", SearchConfig, stage, search)


if __name__ == "__main__":
    sys.exit(SEARCH.main())
