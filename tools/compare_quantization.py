"""What each way of quantising a run's network costs, on the whole test part.

    python tools/compare_quantization.py runs/demo [--images 256] [--json]

Rows: observers, bias correction, equalisation, an int16 residual stream, and int16 between factors.
Calibration looks at the steering split, the accuracies are of the test part; every row runs the
integer reference, which equals the firmware in every byte.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.errors import McuformerError
from mcuformer.run.artifact import RunDir, load_arrays, read_json, read_value
from mcuformer.run.entry import fail
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.reference import run_float, run_integer
from oplib.network.vit import float_model
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


def read_run(path: Path) -> tuple[SubnetConfig, dict[str, Any], Dataset]:
    """Read a run's fine-tuned network and its data."""
    run = RunDir(str(path))
    stage = read_json(run.file("stages/evolve.finetune.json"), "stage")["config"]
    subnet = read_value(run.file("finetuned_subnet.json"), "subnet", SubnetConfig)
    data = load(DataConfig.parse(stage["data"]), subnet.img_size)
    return subnet, load_arrays(run.file("model.safetensors")), data


def right(logits: np.ndarray, data: Dataset) -> int:
    """Return how many test images are classified rightly."""
    return int((logits.argmax(axis=1) == data.test.labels).sum())


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run directory after evolve.finetune")
    parser.add_argument("--images", type=int, default=256, help="for calibration")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    try:
        subnet, weights, data = read_run(arguments.run)
        pixels, total = data.test.images[:], len(data.test)
        plain = float_model(subnet, weights, data.preprocessing, str(arguments.run))
        parts = [pixels[i : i + BATCH_SIZE] for i in range(0, total, BATCH_SIZE)]
        exact = right(np.concatenate([run_float(plain, part) for part in parts]), data)
        print(f"{'float':36s} {100 * exact / total:6.2f} %, {exact} of {total}")
        rows = []
        for name, (settings, forms) in ROWS.items():
            started = time.monotonic()
            model = float_model(
                subnet, weights, data.preprocessing, str(arguments.run), Forms(**forms)
            )
            few = data.steering.images[: arguments.images]
            integer = quantize(model, few, QuantSettings(**settings))
            found = right(run_integer(integer, pixels), data)
            rows.append({"name": name, "right": found, "drop": exact - found})
            seconds = time.monotonic() - started
            print(
                f"{name:36s} {100 * found / total:6.2f} %, {exact - found:+d} images lost, "
                f"{seconds:.0f} s"
            )
    except McuformerError as error:
        return fail(error, error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    if arguments.json:
        print(json.dumps({"float_right": exact, "test_images": total, "rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
