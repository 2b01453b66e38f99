"""Make or replace an entry of the zoo from a finished run, with its accuracies measured anew.

    python tools/make_zoo.py RUN --name NAME [--command COMMAND] [--terms TEXT] [--json]

COMMAND is what made the run, for somebody who wants to repeat it; of a run that names its
experiment, it is made of experiment, seed and data set. The data set must be at hand: both
accuracies are measured on its whole test part, the float one with the weights as the entry has
them, in 16 bits. A few test images go into the entry, spread over the part.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tool
from results import environment

from mcuformer.cost import Footprint
from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.images import Split
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import (
    Arrays,
    RunDir,
    file_digest,
    parsing,
    read_json,
    save_arrays,
    write_bytes,
    write_json,
)
from mcuformer.run.folder import replacing_directory
from mcuformer.run.presets import shipped_folder
from mcuformer.zoo_entry import (
    FILES,
    INTEGERS,
    KIND,
    LAYERS,
    MANIFEST,
    MAX_IMAGE_BYTES,
    TEST_IMAGES,
    WEIGHTS,
    ZooData,
    ZooManifest,
)
from oplib.exportable import measured_accuracy, recorded_data
from oplib.network.source import NetworkSource
from oplib.network.vit import float_model
from oplib.target.predict import ExportedNetwork

TERMS = {  # of the sets that conf/data names
    "digits": "Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak (1998), UCI "
    "Machine Learning Repository, CC BY 4.0; as bundled with scikit-learn",
    "mnist": "MNIST by Y. LeCun, C. Cortes and C. J. C. Burges (1998), CC BY-SA 3.0",
    "fashion_mnist": "Fashion-MNIST by H. Xiao, K. Rasul and R. Vollgraf (2017), copyright 2017 "
    "Zalando SE, MIT licence",
    "cifar10": "CIFAR-10 by A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images "
    "(2009); published without a licence",
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Write an entry; return its name, accuracies and bytes.

    Raises:
        ConfigError: an option is missing or wrong.
        ArtifactError: the run has no export, or one that no entry can hold.
        DataError: the run's data set is missing.
    """
    tool.require_at_least(0, images=options.images)
    if not NAME.fullmatch(options.name):
        raise ConfigError(
            "no name",
            where="--name",
            got=options.name,
            expected="small letters, digits and _, a letter first",
        )
    run = RunDir(options.run)
    exported, source = ExportedNetwork.of_run(run), NetworkSource.exported(run)
    run.refuse_changed([run.file(LAYERS)])
    weights, network = half(run, source), source.read(run)
    data = recorded_data(run)
    if data is None:
        raise ArtifactError("took its integers from elsewhere", where=run.path)
    if options.terms is None and data.name not in TERMS:
        raise ConfigError("licence and origin of this data set: --terms", got=data.name)
    survey, test = data.survey(), load(data, network.subnet.img_size).test
    rounded = {name: values.astype(np.float32) for name, values in weights.items()}
    integer, where = exported.saved.integer, str(network.where)
    floating = float_model(network.subnet, rounded, integer.preprocessing, where)
    accuracy = measured_accuracy(floating, integer, test.images[:], test.labels)
    experiment = options.experiment or recorded_experiment(run)
    manifest = {
        "command": options.command or command_of(run, experiment, data),
        "experiment": experiment,
        "data": ZooData(
            name=data.name,
            terms=options.terms or TERMS[data.name],
            test_part="the set's test part" if survey.published_test else "own split",
            test_images=len(test),
        ).dump(),
        "subnet": network.subnet.dump(),
        "accuracy_percent": accuracy,
        **facts_of(run, exported),
    }
    folder = options.zoo / options.name
    write_entry(folder, run, weights, few(test, options.images), manifest)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"name": options.name, "accuracy_percent": accuracy, "bytes": size}


def recorded_experiment(run: RunDir) -> str | None:
    """Return the experiment that a run names, or None."""
    path = run.file("report.json")
    name = read_json(path, "report").get("experiment") if path.exists() else None
    return None if name is None else str(name)


def command_of(run: RunDir, experiment: str | None, data: DataConfig) -> str:
    """Return the command that made a run of an experiment.

    Raises:
        ConfigError: the run names no experiment.
    """
    if experiment is None:
        raise ConfigError("the run names no experiment; say what made it", where="--command")
    root = "" if data.root is None else " data.root=FOLDER"
    seed = run.record("oplib.export").config["seed"]
    return f"python -m mcuformer +experiment={experiment}{root} seed={seed}"


def facts_of(run: RunDir, exported: ExportedNetwork) -> dict[str, Any]:
    """Return what the records of a run tell of its network, as plain containers.

    Raises:
        ArtifactError: a record is missing or damaged.
    """
    content, record = read_json(run.file("export.json"), "export"), run.record("oplib.export")
    made_on = environment()
    with parsing(run.file("export.json")):
        return {
            "class_names": list(exported.saved.class_names),
            "preprocessing": exported.saved.integer.preprocessing.dump(),
            "calibration_images": content["calibration_images"],
            "brightness": list(exported.brightness),
            "device": exported.target.device.dump(),
            "budget": exported.target.budget.dump(),
            "footprint": Footprint.parse(content["footprint"]).dump(),
            "machine": f"{made_on['cpu']}, {made_on['cores']} cores",
            "git_revision": record.git_revision,
            "versions": record.versions,
        }


def half(run: RunDir, source: NetworkSource) -> Arrays:
    """Return the float weights of a run's export in 16 bits, by timm's names.

    Raises:
        ArtifactError: they have other names, or are beyond the range of 16 bits.
    """
    network = source.read(run)
    if network.learned is not None:
        raise ArtifactError(
            "weights without timm's names, of export.source=qat, from which no training starts",
            where=network.where,
        )
    with np.errstate(over="ignore"):
        weights = {name: values.astype(np.float16) for name, values in network.weights.items()}
    for name, values in weights.items():
        if not np.all(np.isfinite(values)):
            raise ArtifactError(f"weight {name} does not fit 16 bits", where=network.where)
    return weights


def few(test: Split, count: int) -> Arrays:
    """Return up to `count` test images, spread over the part, with labels, as arrays by name."""
    room = MAX_IMAGE_BYTES // int(np.prod(test.images.shape[1:]))
    count = min(count, room, len(test))
    places = np.linspace(0, len(test) - 1, count).astype(np.int64)
    return {"images": test.images[places], "labels": test.labels[places]}


def write_entry(
    folder: Path, run: RunDir, weights: Arrays, images: Arrays, manifest: dict[str, Any]
) -> None:
    """Write an entry, whole or not at all; what `folder` held before is replaced.

    Raises:
        ConfigError: the manifest is not valid.
        ArtifactError: the folder cannot be written.
    """
    with replacing_directory(folder) as entry:
        save_arrays(entry / WEIGHTS, weights)
        save_arrays(entry / TEST_IMAGES, images)
        for name in (*INTEGERS, LAYERS):
            write_bytes(entry / name, run.file(name).read_bytes())
        files = {name: file_digest(entry / name) for name in FILES}
        whole = ZooManifest.parse({**manifest, "files": files})
        write_json(entry / MANIFEST, KIND, whole.dump())


def parser() -> tool.Parser:
    """Return the parser of the command line."""
    result = tool.Parser(__doc__)
    result.add_argument("run", type=Path, help="folder of the finished run")
    result.add_argument("--name", required=True, help="name of the entry")
    result.add_argument("--command", help="command that made the run")
    result.add_argument("--experiment", help="its experiment, where the run names none")
    result.add_argument("--terms", help="licence and origin of the data set")
    result.add_argument("--images", type=int, default=10, help="test images to keep, at most")
    result.add_argument(
        "--zoo", type=Path, default=shipped_folder("zoo", "README.md"), help="folder of all entries"
    )
    return result


if __name__ == "__main__":
    sys.exit(tool.run(parser(), make))
