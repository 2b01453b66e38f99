"""``python -m mcuformer``: the whole chain, from a search space to running firmware.

python -m mcuformer [key=value ...]       run every stage that is not complete
python -m mcuformer predict RUN IMAGE     classify a picture: float, int8, host C
python -m mcuformer inspect RUN           what a run found and where it is
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve import finetune as finetune_command
from evolve import search as search_command
from evolve import space as space_command
from evolve.space_search.quality import measure_admission, sample_space
from evolve.space_search.selectors import SelectorConfig
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.target import TargetSettings
from mcuformer.data.dataset import DataConfig, Dataset, Split, load
from mcuformer.device import Budget
from mcuformer.errors import ArtifactError, ConfigError, McuformerError
from mcuformer.report import print_table, show_report, table
from mcuformer.run import entry
from mcuformer.run.artifact import RunDir, Stage, load_arrays, read_json, read_value, write_json
from mcuformer.run.command import Settings, execute_locked
from mcuformer.run.progress import say
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib import export as export_command
from oplib.network.model_file import load_model
from oplib.network.reference import run_float
from oplib.network.vit import float_model
from oplib.target.board import measure
from oplib.target.compare import Comparison, compare
from oplib.target.predict import predict
from oplib.target.tools import installed
from supernet import train as train_command
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig

ADMISSION_SAMPLES = 1000


class ChainConfig(TargetSettings):
    """Configuration of the whole chain.

    Args:
        plan: print stages, expected time and disk, and do nothing.
    """

    data: DataConfig
    space: SearchSpace
    train: Recipe
    finetune: Recipe
    sampling: SamplingConfig
    points_dir: str
    space_search: SelectorConfig
    strategy: EvolutionConfig
    export: export_command.ExportSettings
    plan: bool = False

    def settings(self) -> dict[str, Any]:
        """Return the fields that every stage's configuration shares."""
        names = ("run_dir", "seed", "threads", "overwrite")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Step:
    """One stage of the chain: what it reads and writes, how it runs, how long it may take."""

    settings: Settings
    stage: Callable[[], Stage]
    function: Callable[[], None]
    epochs: int


def steps(config: ChainConfig) -> dict[str, Step]:
    """Return the stages in order, by name."""
    common = config.settings()
    training: dict[str, Any] = {
        "points_dir": config.points_dir,
        "data": config.data,
        "space": config.space,
        "recipe": config.train,
        "sampling": config.sampling,
    }
    target: dict[str, Any] = {
        "device": config.device,
        "budget": config.budget,
        "forms": config.forms,
    }
    space = space_command.EvolveSpaceConfig(
        **common, **training, **target, space_search=config.space_search
    )
    train = train_command.TrainConfig(**common, **training, point=train_command.PointChoice())
    search = search_command.SearchConfig(
        **common, **target, data=config.data, strategy=config.strategy
    )
    tune = finetune_command.FinetuneConfig(**common, data=config.data, recipe=config.finetune)
    export = export_command.ExportConfig(**common, **target, data=config.data, export=config.export)
    visits = config.space_search.max_visits * config.space_search.visit_epochs
    after_visit = max(0, config.train.epochs - config.space_search.visit_epochs)
    return {
        "evolve.space": Step(
            space,
            lambda: space_command.stage(space),
            lambda: space_command.evolve_space(space),
            visits,
        ),
        "supernet.train": Step(
            train,
            lambda: train_command.stage(train),
            lambda: train_command.train(train),
            after_visit,
        ),
        "evolve.search": Step(
            search, lambda: search_command.stage(search), lambda: search_command.search(search), 0
        ),
        "evolve.finetune": Step(
            tune,
            lambda: finetune_command.stage(tune),
            lambda: finetune_command.finetune(tune),
            config.finetune.epochs,
        ),
        "oplib.export": Step(
            export, lambda: export_command.stage(export), lambda: export_command.export(export), 0
        ),
        "report": Step(config, lambda: report_stage(config), lambda: write_report(config), 0),
    }


def run_chain(config: ChainConfig) -> None:
    """Run every stage whose artefacts are not complete and current, then show the report.

    Raises:
        BudgetError: no subnet of the space fits; told before anything is trained.
    """
    chain = steps(config)
    chain["evolve.space"].stage()  # refuses what cannot succeed, before anything is made
    if config.plan:
        show_plan(config)
        return
    with config.run.locked():
        for step in chain.values():
            execute_locked(step.settings, step.stage(), step.function)
        seconds = {name: config.run.seconds(name) for name in chain}
        path = config.run.file("report.json")
        report = {
            **read_json(config.run.file("report_measured.json"), "report"),
            "seconds": seconds,
        }
        write_json(path, "report", report)
    show_report(report)
    say(f"report: {path}; firmware: {config.run.file('firmware')}")


def report_stage(config: ChainConfig) -> Stage:
    """Return what the report reads and writes: the one place that looks at the test part."""
    names = ("space.json", "subnet.json", "weights.safetensors", "model.safetensors")
    more = ("finetuned_subnet.json", "model_int8.json", "model_int8.safetensors", "firmware")
    inputs = [config.run.file(name) for name in (*names, *more)]
    fields = ("device", "budget", "forms", "data", "space")
    content: dict[str, Any] = {name: getattr(config, name).dump() for name in fields}
    content |= {"seed": config.seed, "programs": installed()}
    return Stage("report", content, inputs, ("report_measured.json",))


def float_accuracy(run: RunDir, source: str, dataset: Dataset) -> float:
    """Return the float accuracy, in percent, of one of the run's networks on the test part."""
    weights_file, subnet_file = (run.file(name) for name in export_command.SOURCES[source])
    subnet = read_value(subnet_file, "subnet", SubnetConfig)
    weights = load_arrays(weights_file)
    model = float_model(subnet, weights, dataset.preprocessing, str(weights_file))
    return accuracy_percent(run_float(model, dataset.test.images[:]), dataset.test)


def accuracy_percent(logits: np.ndarray[Any, Any], test: Split) -> float:
    """Return top-1 accuracy in percent."""
    return round(100.0 * float(np.mean(logits.argmax(axis=1) == test.labels)), 4)


def write_report(config: ChainConfig) -> None:
    """Measure everything on the test part and write it, apart from the stages' seconds."""
    run = config.run
    integer, subnet, _ = load_model(run.path)
    dataset = load(config.data, subnet.img_size)
    test = dataset.test
    point = read_json(run.file("space.json"), "space")["point"]
    result = compare(
        integer, run.file("firmware"), run.file("build"), config.device, test.images[:]
    )
    export_command.refuse_mismatch(result)
    budget = config.limit()
    samples = sample_space(config.space, ADMISSION_SAMPLES, stream(config.seed, "admission"))
    admission, _ = measure_admission(samples, config.cost, budget)
    logits = {
        "int8": result.reference,
        "host": result.host,
        "emulated": None if result.emulated is None else result.emulated.logits,
    }
    counts = None if result.emulated is None else int(result.emulated.instructions.max())
    content = {
        "device": config.device.name,
        "data": config.data.name,
        "seed": config.seed,
        "space": point,
        "subnet": subnet.dump(),
        "accuracy_percent": {
            "inherited": float_accuracy(run, "search", dataset),
            "float": float_accuracy(run, config.export.source, dataset),
            **{
                name: None if x is None else accuracy_percent(x, test) for name, x in logits.items()
            },
        },
        "num_images": {name: 0 if x is None else len(x) for name, x in logits.items()},
        "bit_exact": result.bit_exact,
        "admission": admission.dump(),
        **memory_report(config, subnet, result, budget),
        "macs": subnet.macs,
        "instructions": counts,
        "estimated_ms": None if counts is None else config.device.milliseconds(counts),
        "not_verified": list(result.missing),
    }
    write_json(run.file("report_measured.json"), "report", content)


def memory_report(
    config: ChainConfig, subnet: SubnetConfig, result: Comparison, budget: Budget
) -> dict[str, Any]:
    """Return SRAM and flash: what was planned, linked and measured; None where not verified.

    Raises:
        BudgetError: the linked firmware exceeds the budget although the plan did not.
    """
    planned = config.cost(subnet)
    sram: dict[str, int | None] = dict.fromkeys(
        ("arena_linked", "static", "stack_high_water", "total")
    )
    flash: dict[str, int | None] = dict.fromkeys(("weights", "code", "total"))
    if result.emulated is not None:
        linked = measure(config.run.file("build") / "emulated" / "model.elf")
        export_command.check_linked(linked, planned)
        stack = result.emulated.stack_high_water_bytes
        total = linked.arena + linked.static + stack
        sram = {
            "arena_linked": linked.arena,
            "static": linked.static,
            "stack_high_water": stack,
            "total": total,
        }
        flash = {"weights": linked.weights, "code": linked.code, "total": linked.flash}
        export_command.check_measured(stack, linked, config.device, budget)
    return {
        "sram_bytes": {"arena_planned": planned.arena_bytes, **sram, "budget": budget.sram_bytes},
        "flash_bytes": {**flash, "budget": budget.flash_bytes},
    }


def show_plan(config: ChainConfig) -> None:
    """Print the stages, which of them are complete, and the expected time and disk."""
    run, rows = config.run, []
    images = 1000 if config.data.root is None else 10_000
    for name, step in steps(config).items():
        record = run.file(f"stages/{name}.json")
        state = "not run yet"
        if record.exists():
            try:
                state = step.settings.run.why_stale(step.stage()) or "complete"
            except McuformerError:
                state = "waits for an earlier stage"
        seconds = expected_seconds(config, step.epochs, images)
        rows.append((name, state, f"about {seconds:.0f} s" if state != "complete" else "0 s"))
    print_table(table(f"plan of {run.path}", ("stage", "state", "expected time"), rows))
    largest = config.space.largest(config.space.points()[-1]).num_params
    visits = min(config.space_search.max_visits, len(config.space.points()))
    megabytes = (visits * 2 * 3 + 8) * 4 * largest / 1e6
    print(f"disk: at most about {megabytes:.0f} MB under {run.path}")
    print("expected times are rough: 2 cores, from the networks' multiply-accumulates")


def expected_seconds(config: ChainConfig, epochs: int, images: int) -> float:
    """Return a rough time: 10 ms a step plus training's three passes at 15 GMAC/s; 10 s a stage."""
    steps_per_epoch = max(1, images // config.train.batch_size)
    macs = config.space.largest(config.space.points()[-1]).macs
    step_seconds = 0.01 + 3 * macs * config.train.batch_size / 15e9
    return 10.0 + epochs * steps_per_epoch * step_seconds


def predict_command(run_dir: str, image_file: str) -> None:
    """Print class and confidence of a picture for float, int8 and host C.

    Raises:
        ArtifactError: the run has no export.
    """
    run = RunDir(run_dir)
    integer, subnet, names = load_model(run.path)
    exported = read_json(run.file("stages/oplib.export.json"), "stage")["config"]
    own = export_command.ExportSettings.parse(exported["export"]).files[0]
    weights_file = Path(exported["weights"] or run.file(own))
    weights = load_arrays(weights_file)
    floating = float_model(subnet, weights, integer.preprocessing, str(weights_file))
    image = integer.preprocessing.read_image(Path(image_file))
    prediction = predict(run.path, integer, floating, image)
    rows = []
    for name, logits in prediction.logits.items():
        if logits is None:
            rows.append((name, "not verified", ""))
            continue
        best = int(logits.argmax())
        rows.append((name, names[best], f"{logits[best]:.4g}"))
    print_table(table(image_file, ("network", "class", "logit"), rows))
    if prediction.missing is not None:
        print(prediction.missing)


def inspect_command(run_dir: str) -> None:
    """Print what a run found, what it costs and where its files are.

    Raises:
        ArtifactError: there is no run.
    """
    run = RunDir(run_dir)
    records = sorted(run.file("stages").glob("*.json"))
    if not records:
        raise ArtifactError("no run here", where=run.path, expected="a run directory")
    rows = []
    for record_file in records:
        record = read_json(record_file, "stage")
        rows.append((record["stage"], f"{record['seconds']:.1f} s", " ".join(record["outputs"])))
    print_table(table(f"stages of {run.path}", ("stage", "time", "files"), rows))
    if run.file("report.json").exists():
        show_report(read_json(run.file("report.json"), "report"))
    if run.file("model_int8.json").exists():
        _, subnet, names = load_model(run.path)
        print(f"subnet: {subnet.model_dump_json()}")
        print(f"classes: {', '.join(names)}")


def main() -> int:
    """Run the command line."""
    arguments = sys.argv[1:]
    commands: dict[str, tuple[Callable[..., None], int]] = {
        "predict": (predict_command, 2),
        "inspect": (inspect_command, 1),
    }
    if not arguments or arguments[0] not in commands:
        return entry.run("mcuformer", ChainConfig, run_chain)
    function, count = commands[arguments[0]]
    try:
        if len(arguments) != 1 + count:
            usage = "predict RUN IMAGE" if count == 2 else "inspect RUN"
            raise ConfigError("wrong arguments", expected=f"python -m mcuformer {usage}")
        function(*arguments[1:])
    except McuformerError as error:
        return entry.fail(error, error.exit_code)
    except KeyboardInterrupt:
        return entry.fail("interrupted", entry.INTERRUPTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
