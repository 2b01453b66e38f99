"""Accuracy of a run's network under each way of quantising it, on the whole test part.

    python tools/compare_quantization.py runs/demo [--images 256] [--json] [--markdown]

Rows: observers, bias correction, equalisation, an int16 residual stream, and int16 between factors.
Calibration uses the steering split, accuracies are those on the test part; every row runs the
integer reference, whose logits equal the firmware's bit for bit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.run.artifact import RunDir
from mcuformer.run.progress import track
from oplib.forms import Forms
from oplib.network.reference import run_float, run_integer
from oplib.network.source import NetworkSource, SourceNetwork
from oplib.quantize.calibrate import QuantSettings
from oplib.quantize.lower import quantize

BATCH_SIZE = 256
WIDE = {"residual": "int16"}
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "minmax": ({}, {}),
    "percentile 99.99": ({"observer": "percentile"}, {}),
    "percentile 99.9": ({"observer": "percentile", "percentile": 99.9}, {}),
    "mse": ({"observer": "mse"}, {}),
    "entropy": ({"observer": "entropy"}, {}),
    "minmax, bias correction": ({"bias_correction": True}, {}),
    "minmax, equalised": ({"equalize": True}, {}),
    "mse, equalised, bias correction": (
        {"observer": "mse", "equalize": True, "bias_correction": True},
        {},
    ),
    "minmax, int16 residual": ({}, WIDE),
    "minmax, equalised, int16 residual": ({"equalize": True}, WIDE),
    "minmax, int16 residual and factors": ({}, WIDE | {"low_rank": "int16"}),
}


def read_run(path: Path) -> tuple[SourceNetwork, Dataset]:
    """Read a run's fine-tuned network and its data."""
    run = RunDir(path)
    data = run.record("evolve.finetune").config["data"]
    network = NetworkSource(name="finetuned").read(run)
    return network, load(DataConfig.parse(data), network.subnet.img_size)


def correct(logits: np.ndarray, data: Dataset) -> int:
    """Return the number of test images that are classified correctly."""
    return int((logits.argmax(axis=1) == data.test.labels).sum())


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Quantise the run's network in every way and count the test images lost."""
    tool.require_at_least(1, images=options.images)
    network, data = read_run(options.run)
    pixels, total = data.test.images[:], len(data.test)
    plain = network.float_model(data.preprocessing)
    parts = [pixels[i : i + BATCH_SIZE] for i in range(0, total, BATCH_SIZE)]
    exact = correct(np.concatenate([run_float(plain, part) for part in parts]), data)
    rows = []
    for name, (settings, forms) in track(list(ROWS.items()), "quantisations"):
        model = network.float_model(data.preprocessing, Forms(**forms))
        calibration_images = data.steering.images[: options.images]
        integer = quantize(model, calibration_images, QuantSettings(**settings))
        right = correct(run_integer(integer, pixels), data)
        rows.append({"name": name, "right": right, "drop": exact - right})
    return {"float_right": exact, "test_images": total, "rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row for the float network and one per way of quantising."""
    total = result["test_images"]
    rows = [("float", f"{100 * result['float_right'] / total:.2f} %", "")]
    rows += [
        (row["name"], f"{100 * row['right'] / total:.2f} %", str(row["drop"]))
        for row in result["rows"]
    ]
    return [Table(("network", "accuracy", f"images lost of {total:,}"), rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run directory after evolve.finetune")
    parser.add_argument("--images", type=int, default=256, help="number of calibration images")
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
