"""Commands that read a run: its results, and the classification of a picture."""

from __future__ import annotations

from pathlib import Path

from mcuformer.errors import ArtifactError
from mcuformer.report.terminal import NOT_VERIFIED, print_table, show_report, table
from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.zoo_entry import PREFIX, entries
from oplib.export import summary
from oplib.graph import Graph
from oplib.network.model_file import load_model
from oplib.plan.order import MUNAS, PLANNER, peak_in_order, peak_over_orders
from oplib.target.board_record import current_record
from oplib.target.predict import ExportedNetwork, image_brightness, predict, softmax

UNUSUAL_SPREADS = 4.0  # standard deviations from which a picture's brightness is remarked on


def predict_picture(place: str, image_file: str) -> None:
    """Print the two likeliest classes of a picture by the float network, int8 numpy and host C.

    Args:
        place: folder of a run, or ``zoo:NAME``.
        image_file: file of the picture.

    Raises:
        ArtifactError: the run has no exported network, or a file of it was changed since.
        ConfigError: the zoo has no entry of this name.
        DataError: the picture is missing or not readable.
    """
    exported = ExportedNetwork.named(place)
    names, preprocessing = exported.saved.class_names, exported.saved.integer.preprocessing
    image = preprocessing.read_image(Path(image_file))
    prediction = predict(exported, image)
    rows: list[tuple[str, ...]] = []
    for name, logits in prediction.logits.items():
        if logits is None:
            rows.append((name, NOT_VERIFIED, ""))
            continue
        shares = softmax(logits)
        first, second = shares.argsort()[:-3:-1]
        likeliest = (f"{names[index]} {100 * shares[index]:.1f} %" for index in (first, second))
        rows.append((name, *likeliest))
    print_table(table(image_file, ("network", "class", "second"), rows))
    if prediction.missing is not None:
        print(prediction.missing)
    brightness, _ = image_brightness(image[None], preprocessing)
    hint = polarity_hint(brightness, *exported.brightness)
    if hint is not None:
        print(hint)


def polarity_hint(brightness: float, mean: float, spread: float) -> str | None:
    """Return a hint that a picture looks inverted beside those that the network knows, or None.

    Args:
        brightness: the picture's mean pixel, from 0 (black) to 1 (white).
        mean: mean brightness of the calibration images.
        spread: its standard deviation over these images.

    >>> polarity_hint(0.35, 0.31, 0.05)
    >>> polarity_hint(0.9, 0.31, 0.05)
    'hint: mean brightness 0.90, and 0.31 in the training images; inverted, it would be 0.10'
    """
    off, inverted = abs(brightness - mean), abs(1.0 - brightness - mean)
    if off <= UNUSUAL_SPREADS * spread or inverted >= off:
        return None
    return (
        f"hint: mean brightness {brightness:.2f}, and {mean:.2f} in the training images; "
        f"inverted, it would be {1.0 - brightness:.2f}"
    )


def list_zoo() -> None:
    """Print the trained networks that come with the package."""
    rows = []
    for entry in entries():
        made = entry.manifest
        rows.append(
            (
                PREFIX + entry.name,
                f"{made.footprint.weights_bytes:,}",
                f"{made.accuracy_percent['int8']:.2f} %",
                f"{made.data.test_images:,}, {made.data.test_part}",
                ", ".join(made.class_names),
            )
        )
    header = ("network", "bytes of weights", "int8", "test images", "classes")
    print_table(table("trained networks", header, rows))


def inspect_run(run_dir: str) -> None:
    """Print the stages, results and costs of a run, and the names of its files.

    Raises:
        ArtifactError: `run_dir` is not a run directory, or a record in it is damaged.
    """
    run = RunDir(run_dir)
    records = run.records()
    if not records:
        raise ArtifactError("not a run directory", where=run.path, expected="stages/*.json in it")
    rows = []
    for record in records:
        changed = run.changed_output(record)
        state = "whole" if changed is None else f"{changed} is not as it left it"
        rows.append((record.stage, f"{record.seconds:.1f} s", " ".join(record.outputs), state))
    print_table(table(f"stages of {run.path}", ("stage", "time", "files", "state"), rows))
    board = current_record(run)
    if run.file("report.json").exists():
        report = read_json(run.file("report.json"), "report")
        with parsing(run.file("report.json")):
            show_report(report, board)
    if run.file("export.json").exists():
        saved = load_model(run.path)
        print(*summary(read_json(run.file("export.json"), "export"), run), sep="\n")
        print(
            f"subnet: {saved.subnet.model_dump_json()}", order_line(saved.integer.graph), sep="\n"
        )
        print(f"classes: {', '.join(saved.class_names)}")
    if board is not None:
        print(board.describe())


def order_line(graph: Graph) -> str:
    """Return a line on the least peak that a graph's order of execution allows, layer by layer."""
    own, least = peak_in_order(graph, PLANNER), peak_over_orders(graph, PLANNER).peak_bytes
    munas = peak_over_orders(graph, MUNAS).peak_bytes
    return (
        f"layer by layer, least peak over all orders of execution: {least:,} bytes, "
        f"{own:,} in its own; {munas:,} as muNAS counts, without image and working memory"
    )
