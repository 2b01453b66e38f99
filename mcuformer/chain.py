"""The chain: every command of a run in order, from a search space to a report, as values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from evolve.evaluation.evaluators import EvaluatorConfig
from evolve.evaluation.inherited import InheritedConfig
from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.searched_points import Axes
from evolve.space import SPACE
from evolve.space_search.selectors import SelectorConfig
from evolve.subnet_search.candidate import Metric
from evolve.subnet_search.strategies import StrategyConfig
from mcuformer.data.dataset import DataConfig
from mcuformer.limits import EpochsOrNone, PathText, Rounds, Workers
from mcuformer.report.measure import REPORT
from mcuformer.run.command import Command, SettingsT
from mcuformer.space import SearchSpace
from mcuformer.zoo_entry import in_zoo
from oplib.export import EXPORT
from oplib.export_config import ExportSettings
from oplib.target.target import TargetSettings
from supernet.pruning.settings import PruningConfig
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig
from supernet.train import TRAIN

CHAIN: tuple[Command[Any], ...] = (SPACE, TRAIN, SEARCH, FINETUNE, EXPORT, REPORT)
RECIPES = {SPACE: "train", TRAIN: "train", FINETUNE: "finetune"}  # field that is their `recipe`


class ChainConfig(TargetSettings):
    """Configuration of the chain; every stage takes the fields that its own configuration has.

    Args:
        data: data set.
        space: search space.
        train: recipe of the supernets.
        finetune: recipe for fine-tuning the winner of the subnet search.
        initial: trained network from which the chosen point's supernet starts: ``zoo:NAME``, or a
            safetensors file in timm's names; null is none.
        finetune_initial: safetensors file with weights of the search's winner to fine-tune from,
            for instance of an earlier fine-tuning in another run; null takes the inherited ones.
        teacher_run: run directory whose supernet's largest subnet is the teacher ``largest`` of
            `finetune`; null is this run.
        pruning: how the winner is pruned while it is fine-tuned; null is not at all.
        sampling: rule that chooses the subnets of each step of supernet training.
        points_dir: directory of recovery points; concurrent jobs may share it.
        space_search: selector of the space point.
        rounds: how many times at most space search and subnet search take turns, each time with
            `space_search.max_visits` more visits; they end when nothing changes.
        warm_start_epochs: epochs of a joint supernet that visited points start from; 0 is off.
        strategy: strategy of the subnet search.
        evaluator: how the search finds the accuracy of a subnet.
        objectives: metrics that the search optimises.
        axes: ``point`` chooses a space point and searches its supernet; ``all`` trains one joint
            supernet and searches all points together, without a space search.
        finalists: number of candidates whose int8 accuracy decides the search; 0 is none.
        study: journal or database of evaluations; null is one in the run directory.
        workers: number of processes that evaluate subnets.
        export: settings of the export.
        experiment: name of the chosen file of ``conf/experiment``, or of the one that the data set
            stands for; null is none.
        plan: whether to print the stages with expected time and disk space, and run nothing.
    """

    data: DataConfig
    space: SearchSpace
    train: Recipe
    finetune: Recipe
    initial: PathText | None = None
    finetune_initial: PathText | None = None
    teacher_run: PathText | None = None
    pruning: PruningConfig | None = None
    sampling: SamplingConfig
    points_dir: PathText
    space_search: SelectorConfig
    rounds: Rounds = 1
    warm_start_epochs: EpochsOrNone = 0
    strategy: StrategyConfig
    evaluator: EvaluatorConfig = InheritedConfig()
    objectives: tuple[Metric, ...] = ("accuracy_percent",)
    axes: Axes = "point"
    finalists: Annotated[int, Field(ge=0, le=1000)] = 0
    study: PathText | None = None
    workers: Workers = 1
    export: ExportSettings
    experiment: str | None = None
    plan: bool = False

    @field_validator("finetune_initial")
    @classmethod
    def _refuse_another_network(cls, value: str | None) -> str | None:
        if value is not None and in_zoo(value):
            raise ValueError("a network of the zoo is another one than the search's winner")
        return value


def stages(config: ChainConfig) -> tuple[Command[Any], ...]:
    """Return the commands of a run in order; if all axes are searched, no point is chosen first."""
    return tuple(command for command in CHAIN if command != SPACE or config.axes == "point")


def stage_config(command: Command[SettingsT], config: ChainConfig) -> SettingsT:
    """Return a command's configuration: the chain's fields by name, and defaults for the others."""
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    fields["joint"] = config.axes == "all"
    if command == FINETUNE:
        fields["initial"] = config.finetune_initial
    if command in RECIPES:
        fields["recipe"] = fields[RECIPES[command]]
    shared = command.config.model_fields.keys() & fields.keys()
    return command.config(**{name: fields[name] for name in shared})
