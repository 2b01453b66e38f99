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

from evolve.evaluation.combination import (
    check_combination,
    check_metrics,
    check_pruning,
    least_pruning,
)
from evolve.evaluation.evaluator import Workbench
from evolve.evaluation.evaluators import EvaluatorConfig
from evolve.evaluation.finalists import final, int8_accuracy_percent, integer_network
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.records import recorded
from evolve.search_result import (
    describe_winner,
    evaluated_network,
    write_rows,
    write_winner,
)
from evolve.searched_points import Axes, SearchedPoints
from evolve.space_search.quality import check_feasible
from evolve.subnet_search.candidate import Candidate, Metric
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
    write_bytes,
)
from mcuformer.run.entry import fail
from mcuformer.run.progress import Meter, process_count, say, silence
from mcuformer.run.threads import run_threads
from oplib.target.target import TargetSettings
from supernet.distributed import DistributedCommand
from supernet.pruning.settings import FeedbackPruning
from supernet.recipe import check_batch_size
from supernet.run_files import load_supernet, supernet_files

if TYPE_CHECKING:
    from evolve.subnet_search.study import Study

JOURNAL = "search/journal.log"  # of the study, unless the user names another
PICTURE = "search.png"


class SearchConfig(TargetSettings):
    """Configuration of the subnet search.

    Args:
        data: data set; its steering split measures accuracy.
        strategy: strategy of the search, with its settings.
        evaluator: how the accuracy of a subnet is found.
        objectives: metrics to optimise; ``search.jsonl`` marks the Pareto front.
        axes: ``point`` searches one space point; ``all`` searches all points of a joint supernet
            together.
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
    axes: Axes = "point"
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
        ConfigError: strategy, evaluator and objectives do not go together, or torchrun and workers
            that are asked for.
    """
    if process_count() > 1 and config.workers > 1:
        raise ConfigError(
            "the processes of torchrun are the workers",
            where="workers",
            got=config.workers,
            expected="1",
        )
    check_combination(config.strategy, config.evaluator, config.objectives)
    inputs = supernet_files(config.source)
    picture = (PICTURE,) if config.strategy.draws else ()
    outputs = ("subnet.json", "weights.safetensors", "search.jsonl", *picture)
    return Stage(SEARCH.name, config.content(), [*inputs, *config.data.files()], outputs)


def search(config: SearchConfig) -> None:
    """Search; write ``subnet.json``, its weights, ``search.jsonl``, a picture if any.

    A joint supernet is searched at the point of ``space.json``, or with ``axes=all`` at all points
    together. What is proposed depends only on the settings, the seed and the candidates so far. So
    an interrupted search, run again, proposes the same subnets and takes from its study what was
    evaluated before.

    Raises:
        ArtifactError: the supernet or the study is missing or damaged.
        BudgetError: no subnet of the points fits, or an objective has no bound.
        ConfigError: an objective is not modelled, no subnet can be pruned as asked, or the supernet
            has not learned all axes.
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
    model = config.budget.memory_model
    say(describe_winner(config.evaluator, best, len(candidates), model))
    write_rows(config.run, config.evaluator, session.bench, candidates, int8)
    write_winner(config.run, config.evaluator, session.bench, candidates, best)
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
            BudgetError: no subnet of the points fits, or an objective has no bound.
            ConfigError: an objective is not modelled, no subnet can be pruned as asked, a batch of
                the evaluator is larger than the training split, or the supernet has not learned all
                axes.
        """
        searched, target = SearchedPoints.of_run(config.source, config.axes), config.target
        space, points = searched.space, searched.points
        pruning = least_pruning(config.strategy, config.evaluator)
        if pruning is not None:
            check_pruning(pruning, space, points, "evaluator.pruning")
        if not isinstance(pruning, FeedbackPruning):  # which leaves less than any subnet
            check_feasible(points, space, target.cost, target.limit)
        problem = Problem(
            space,
            points,
            target.admits,
            target.limit,
            config.objectives,
            config.budget.soft,
            config.evaluator.prunes,
        )
        check_metrics(config.strategy, problem, config.device)
        recipes = config.evaluator.recipes("evaluator")
        crops = any(recipe.resized_crop_scale is not None for recipe in recipes.values())
        dataset = load(config.data, space.smallest(points[0]).img_size, crops=crops)
        for where, recipe in recipes.items():
            check_batch_size(recipe, len(dataset.train), where)
        search = Search(config.strategy, problem, config.seed)
        evaluation = _evaluation(config, searched, search, dataset)
        bench = _workbench(config, search, dataset, evaluation)
        measure = config.evaluator.measure(bench)

        def evaluate(task: Task) -> Candidate:
            accuracy = measure(task)
            pruned, subnet = accuracy.pruned, task.proposal.subnet
            cost = target.cost(subnet if pruned is None else pruned.subnet)
            memory = cost.footprint
            return Candidate(
                task.proposal,
                accuracy.percent,
                memory.sram_bytes,
                memory.flash_bytes,
                cost.ms_high,
                accuracy.images,
                pruned,
                cost.admissible(target.limit),
            )

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
        network = evaluated_network(config.evaluator, bench, history, candidate)
        integer = integer_network(network, bench.dataset, config.forms)
        return int8_accuracy_percent(integer, bench.dataset.steering)

    return recorded(path, measure)


def _workbench(
    config: SearchConfig,
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
        load_supernet=lambda: load_supernet(config.source, dataset.preprocessing).to(device),
        device=device,
        search=search,
        directory=config.run.file("search") / digest(canonical_json(evaluation).encode())[:16],
    )


def _evaluation(
    config: SearchConfig, searched: SearchedPoints, search: Search, dataset: Dataset
) -> dict[str, Any]:
    """Return everything that an evaluation depends on, apart from its subnet."""
    return {
        "version": __version__,
        "space": searched.space.dump(),
        "supernet": file_digest(supernet_files(config.source)[1]),
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


SEARCH = DistributedCommand("evolve.search", SearchConfig, stage, search)


if __name__ == "__main__":
    sys.exit(SEARCH.main())
