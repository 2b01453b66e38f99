"""Run the chain, or print what a run would do."""

from __future__ import annotations

from evolve.evaluation.combination import check_pruning, least_pruning
from evolve.space_search.quality import check_feasible, measure_admission, sample_space
from mcuformer.chain import ChainConfig, stage_config, stages
from mcuformer.plan import show_plan
from mcuformer.report.page import write_run_page
from mcuformer.report.terminal import show_report
from mcuformer.rounds import REPEATED, check_rounds, run_rounds
from mcuformer.run import entry
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.progress import say
from mcuformer.seed import stream
from oplib.target.board_record import current_record
from supernet.recipe import check_batch_size

ADVICE_SAMPLES = 40
BINDING = (0.05, 0.95)  # refused shares between which a budget leaves a choice, and only a choice


def run_chain(config: ChainConfig) -> None:
    """Run every stage whose artefacts are not complete and current, then print the report.

    Raises:
        BudgetError: no subnet of the space fits; raised before anything is trained.
        ConfigError: rounds are asked for where there is no space search.
        McuformerError: a stage failed.
    """
    check_rounds(config)
    commands = stages(config)
    for command in commands[:-1]:  # the report's stage reads what the others write
        command.stage(stage_config(command, config))  # refuses a run that cannot succeed
    check_budget(config)
    if not all(config.run.record_file(command.name).exists() for command in commands):
        check_batches(config)
        check_prunings(config)
        advise_on_space(config)
    if config.plan:
        show_plan(config)
        return
    with config.run.locked():
        rounds = run_rounds(config)
        for command in commands:
            if command not in REPEATED:
                command.execute_locked(stage_config(command, config))
        seconds = {command.name: config.run.seconds(command.name) for command in commands}
        for entry in rounds[:-1]:
            for name in entry.seconds:
                seconds[name] += entry.seconds[name]
        path = config.run.file("report.json")
        measured = read_json(config.run.file("report_measured.json"), "report")
        report = {**measured, "experiment": config.experiment, "seconds": seconds}
        write_json(path, "report", report)
        page = write_run_page(config.run)
    show_report(report, current_record(config.run))
    say(f"report: {page} and {path.name}; firmware: {config.run.file('firmware')}")


def check_budget(config: ChainConfig) -> None:
    """Refuse a budget that no subnet of the space keeps.

    Raises:
        BudgetError: with the least that a subnet needs.
    """
    target = config.target
    check_feasible(config.space.points(), config.space, target.cost, target.limit)


def advise_on_space(config: ChainConfig) -> None:
    """Say so if device and budget refuse hardly any subnet of the space, or nearly all."""
    samples = sample_space(config.space, ADVICE_SAMPLES, stream(config.seed, "advice"))
    admission, _ = measure_admission(samples, config.target.cost, config.target.limit)
    share = admission.refused / admission.sampled
    if BINDING[0] <= share <= BINDING[1]:
        return
    refused = f"{admission.refused} of {admission.sampled} sampled subnets exceed the budget"
    advice = (
        "it does not limit the search, and larger subnets may be more accurate (space=...)"
        if share < BINDING[0]
        else "smaller choices in the space leave the search more of them (space=...)"
    )
    say(f"space: {refused} on {config.device.name}; {advice}")


def check_batches(config: ChainConfig) -> None:
    """Refuse a batch that is larger than the set it is drawn from.

    Raises:
        ConfigError: naming the recipe.
        DataError: the data are missing, damaged or not as configured.
    """
    survey = config.data.survey()
    check_batch_size(config.train, survey.train, "train")
    for where, recipe in config.evaluator.recipes("evaluator").items():
        check_batch_size(recipe, survey.train, where)
    check_batch_size(config.finetune, survey.train + survey.steering, "finetune")


def check_prunings(config: ChainConfig) -> None:
    """Refuse a pruning that suits no point of the space; the stages check the chosen one.

    Raises:
        ConfigError: the largest and the smallest networks of every point are refused.
    """
    searched = least_pruning(config.strategy, config.evaluator)
    for where, pruning in (("pruning", config.pruning), ("evaluator.pruning", searched)):
        if pruning is not None:
            check_pruning(pruning, config.space, config.space.points(), where)


def main() -> int:
    """Run the command line of the chain; return the exit code."""
    return entry.run("mcuformer", ChainConfig, run_chain)
