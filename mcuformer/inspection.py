"""Commands that read a run: its results, and the classification of a picture."""

from __future__ import annotations

from pathlib import Path

from mcuformer.errors import ArtifactError
from mcuformer.report import NOT_VERIFIED, print_table, show_report, table
from mcuformer.run.artifact import RunDir, read_json
from oplib.network.model_file import load_model
from oplib.network.source import NetworkSource
from oplib.target.predict import predict


def predict_picture(run_dir: str, image_file: str) -> None:
    """Print the class and the logit of a picture by the float network, int8 numpy and host C.

    Raises:
        ArtifactError: the run has no exported network.
        DataError: the picture is missing or not readable.
    """
    run = RunDir(run_dir)
    integer, _, names = load_model(run.path)
    floating = NetworkSource.exported(run).read(run).float_model(integer.preprocessing)
    image = integer.preprocessing.read_image(Path(image_file))
    prediction = predict(run.path, integer, floating, image)
    rows = []
    for name, logits in prediction.logits.items():
        if logits is None:
            rows.append((name, NOT_VERIFIED, ""))
            continue
        best = int(logits.argmax())
        rows.append((name, names[best], f"{logits[best]:.4g}"))
    print_table(table(image_file, ("network", "class", "logit"), rows))
    if prediction.missing is not None:
        print(prediction.missing)


def inspect_run(run_dir: str) -> None:
    """Print the stages, results and costs of a run, and the names of its files.

    Raises:
        ArtifactError: `run_dir` is not a run directory, or a file of it is damaged.
    """
    run = RunDir(run_dir)
    records = sorted(run.file("stages").glob("*.json"))
    if not records:
        raise ArtifactError("not a run directory", where=run.path, expected="stages/*.json in it")
    rows = []
    for record_file in records:
        record = read_json(record_file, "stage")
        rows.append((record["stage"], f"{record['seconds']:.1f} s", " ".join(record["outputs"])))
    print_table(table(f"stages of {run.path}", ("stage", "time", "files"), rows))
    if run.file("report.json").exists():
        show_report(read_json(run.file("report.json"), "report"))
    if run.file("export.json").exists():
        _, subnet, names = load_model(run.path)
        print(f"exported network: {NetworkSource.exported(run).describe()}")
        print(f"subnet: {subnet.model_dump_json()}")
        print(f"classes: {', '.join(names)}")
