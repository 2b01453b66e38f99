"""The chain: every command of a run in order, from a search space to a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.space import SPACE
from evolve.space_search.selectors import SelectorConfig
from evolve.subnet_search.evolution import EvolutionConfig
from mcuformer.data.dataset import DataConfig
from mcuformer.errors import McuformerError
from mcuformer.report import REPORT, print_table, show_report, table
from mcuformer.run import entry
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.command import Command, Settings, refuse_missing_inputs
from mcuformer.run.progress import say
from mcuformer.space import SearchSpace
from oplib.export import EXPORT, ExportSettings
from oplib.target.target import TargetSettings
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig
from supernet.train import TRAIN

CHAIN: tuple[Command[Any], ...] = (SPACE, TRAIN, SEARCH, FINETUNE, EXPORT, REPORT)
RECIPES = {SPACE: "train", TRAIN: "train", FINETUNE: "finetune"}  # chain's field for their `recipe`

# rough figures, which only `plan=true` uses
DIGITS_IMAGES, DISK_IMAGES = 1_000, 10_000  # images of the bundled data set, and of one on disk
STAGE_SECONDS = 10.0  # time per stage without training: imports, data, measuring, building
STEP_SECONDS = 0.01  # time per training step without its arithmetic
TRAINING_PASSES = 3  # a backward pass computes about twice as much as the forward pass
MACS_PER_SECOND = 15e9  # on two cores
FLOAT_BYTES = 4
RESULT_FILES = 3  # weights of the supernet, of the search's winner, of the fine-tuned network


class ChainConfig(TargetSettings):
    """Configuration of the chain, from which every stage takes the fields that it has too.

    Args:
        data: data set.
        space: search space.
        train: recipe of the supernets.
        finetune: recipe of the subnet that the search found.
        sampling: which subnets a step of supernet training visits.
        points_dir: directory of recovery points; concurrent jobs may share it.
        space_search: selector of the space point.
        strategy: settings of the subnet search.
        export: settings of the export.
        plan: print the stages with their expected time and disk, and run nothing.
    """

    data: DataConfig
    space: SearchSpace
    train: Recipe
    finetune: Recipe
    sampling: SamplingConfig
    points_dir: str
    space_search: SelectorConfig
    strategy: EvolutionConfig
    export: ExportSettings
    plan: bool = False


def stage_config(command: Command[Any], config: ChainConfig) -> Settings:
    """Return a command's configuration: the chain's fields by name, and defaults for the others."""
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    if command in RECIPES:
        fields["recipe"] = fields[RECIPES[command]]
    shared = command.config.model_fields.keys() & fields.keys()
    result: Settings = command.config(**{name: fields[name] for name in shared})
    return result


def run_chain(config: ChainConfig) -> None:
    """Run every stage whose artefacts are not complete and current, then show the report.

    Raises:
        BudgetError: no subnet of the space fits; raised before anything is trained.
        McuformerError: as the stages.
    """
    CHAIN[0].stage(stage_config(CHAIN[0], config))  # refuses a run that cannot succeed
    if config.plan:
        show_plan(config)
        return
    with config.run.locked():
        for command in CHAIN:
            command.execute_locked(stage_config(command, config))
        seconds = {command.name: config.run.seconds(command.name) for command in CHAIN}
        path = config.run.file("report.json")
        measured = read_json(config.run.file("report_measured.json"), "report")
        report = {**measured, "seconds": seconds}
        write_json(path, "report", report)
    show_report(report)
    say(f"report: {path}; firmware: {config.run.file('firmware')}")


def main() -> int:
    """Run the command line of the chain; return the exit code."""
    return entry.run("mcuformer", ChainConfig, run_chain)


def show_plan(config: ChainConfig) -> None:
    """Print the stages, their state, and the expected time and disk."""
    epochs, rows = trained_epochs(config), []
    for command in CHAIN:
        state = stage_state(command, config)
        seconds = expected_seconds(config, epochs.get(command.name, 0))
        rows.append(
            (command.name, state, "0 s" if state == "complete" else f"about {seconds:.0f} s")
        )
    print_table(table(f"plan of {config.run.path}", ("stage", "state", "expected time"), rows))
    megabytes = expected_bytes(config) / 1e6
    print(f"disk: at most about {megabytes:.0f} MB under {config.run.path}")
    print("times are rough: estimated from the networks' multiply-accumulates, for 2 cores")


def stage_state(command: Command[Any], config: ChainConfig) -> str:
    """Return whether a stage is complete, in words."""
    if not config.run.file(f"stages/{command.name}.json").exists():
        return "not run yet"
    try:
        stage = command.stage(stage_config(command, config))
        refuse_missing_inputs(stage)
        return config.run.why_stale(stage) or "complete"
    except McuformerError:
        return "waits for an earlier stage"


def trained_epochs(config: ChainConfig) -> Mapping[str, int]:
    """Return the largest number of epochs of each stage that trains."""
    search = config.space_search
    return {
        SPACE.name: search.max_visits * search.visit_epochs,
        # the chosen point has been visited, and so trained, at least once
        TRAIN.name: max(0, config.train.epochs - search.visit_epochs),
        FINETUNE.name: config.finetune.epochs,
    }


def expected_seconds(config: ChainConfig, epochs: int) -> float:
    """Return a rough time of a stage that trains the largest subnet for `epochs` epochs."""
    images = DIGITS_IMAGES if config.data.root is None else DISK_IMAGES
    batch_size = config.train.batch_size
    macs = config.space.largest(config.space.points()[-1]).macs * batch_size
    step = STEP_SECONDS + TRAINING_PASSES * macs / MACS_PER_SECOND
    return STAGE_SECONDS + epochs * max(1, images // batch_size) * step


def expected_bytes(config: ChainConfig) -> int:
    """Return a rough upper bound of a run's disk space, as if every network were the largest."""
    # a checkpoint holds the weights, Adam's two moments and perhaps an average of the weights
    copies = 3 if config.train.ema_decay is None else 4
    # one per visit, one each of supernet training and fine-tuning, and one partial checkpoint
    checkpoints = config.space_search.max_visits + 3
    weights = config.space.largest(config.space.points()[-1]).num_params
    return (checkpoints * copies + RESULT_FILES) * weights * FLOAT_BYTES
