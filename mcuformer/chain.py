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
from mcuformer.run.command import Command, Settings, refuse_unsound_inputs
from mcuformer.run.progress import say
from mcuformer.space import SearchSpace
from oplib.export import EXPORT, ExportSettings
from oplib.target.target import TargetSettings
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig
from supernet.train import TRAIN

CHAIN: tuple[Command[Any], ...] = (SPACE, TRAIN, SEARCH, FINETUNE, EXPORT, REPORT)
RECIPES = {SPACE: "train", TRAIN: "train", FINETUNE: "finetune"}  # field that is their `recipe`

# rough figures, used by `plan=true` only
DIGITS_IMAGES, DISK_IMAGES = 1_000, 10_000  # images in the bundled data set, and in one on disk
STAGE_SECONDS = 10.0  # time per stage besides training: imports, data, measuring, building
STEP_SECONDS = 0.01  # time per training step besides its arithmetic
TRAINING_PASSES = 3  # one forward pass, and a backward pass of about twice its arithmetic
MACS_PER_SECOND = 15e9  # on two cores
FLOAT_BYTES = 4
RESULT_FILES = 3  # weights of the supernet, the search's winner and the fine-tuned network


class ChainConfig(TargetSettings):
    """Configuration of the chain; every stage takes the fields that its own configuration has.

    Args:
        data: data set.
        space: search space.
        train: recipe of the supernets.
        finetune: recipe for fine-tuning the winner of the subnet search.
        sampling: rule that chooses the subnets of each step of supernet training.
        points_dir: directory of recovery points; concurrent jobs may share it.
        space_search: selector of the space point.
        strategy: settings of the subnet search.
        export: settings of the export.
        plan: whether to print the stages with expected time and disk space, and run nothing.
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
    """Run every stage whose artefacts are not complete and current, then print the report.

    Raises:
        BudgetError: no subnet of the space fits; raised before anything is trained.
        McuformerError: a stage failed.
    """
    for command in CHAIN[:-1]:  # the report's stage reads what the others write
        command.stage(stage_config(command, config))  # refuses a run that cannot succeed
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
    """Print the stages, their states, and the expected time and disk space."""
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
    """Return the state of a stage in words: complete, or the reason it must run."""
    if not config.run.record_file(command.name).exists():
        return "not run yet"
    try:
        stage = command.stage(stage_config(command, config))
        refuse_unsound_inputs(config.run, stage)
        return config.run.why_stale(stage) or "complete"
    except McuformerError:
        return "waits for an earlier stage"


def trained_epochs(config: ChainConfig) -> Mapping[str, int]:
    """Return the largest possible number of epochs of each stage that trains."""
    search = config.space_search
    return {
        SPACE.name: search.max_visits * search.visit_epochs,
        # the chosen point has been visited, and so trained, at least once
        TRAIN.name: max(0, config.train.epochs - search.visit_epochs),
        FINETUNE.name: config.finetune.epochs,
    }


def expected_seconds(config: ChainConfig, epochs: int) -> float:
    """Return a rough estimate of a stage's seconds, with `epochs` epochs of the largest subnet."""
    images = DIGITS_IMAGES if config.data.root is None else DISK_IMAGES
    batch_size = config.train.batch_size
    macs = config.space.largest(config.space.points()[-1]).macs * batch_size
    step = STEP_SECONDS + TRAINING_PASSES * macs / MACS_PER_SECOND
    return STAGE_SECONDS + epochs * max(1, images // batch_size) * step


def expected_bytes(config: ChainConfig) -> int:
    """Return a rough upper bound of a run's disk space in bytes: every network is the largest."""
    # a checkpoint holds the weights, Adam's two moments and, optionally, averaged weights
    copies = 3 if config.train.ema_decay is None else 4
    # one per visit, one each for supernet training and fine-tuning, and one being written
    checkpoints = config.space_search.max_visits + 3
    weights = config.space.largest(config.space.points()[-1]).num_params
    return (checkpoints * copies + RESULT_FILES) * weights * FLOAT_BYTES
