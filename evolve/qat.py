"""``python -m evolve.qat``: fine-tune the run's network under its own int8 arithmetic.

The network that is trained walks the exporter's graph: every tensor that the firmware rounds is
rounded here, with the same scale, zero point and rounding, and every weight as the lowering does.
What is learned, weights and scales, is what ``export.source=qat`` lowers.
"""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import Field

from mcuformer.data.dataset import DataConfig, load
from mcuformer.run import entry
from mcuformer.run.artifact import (
    Stage,
    canonical_json,
    digest,
    file_digest,
    load_arrays,
    read_value,
    save_arrays,
    write_json,
)
from mcuformer.run.command import Settings, execute
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.vit import float_model
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings, calibrate, choose_quant
from oplib.quantize.lower import prepare
from supernet.recipe import Recipe

INPUTS = ("finetuned_subnet.json", "model.safetensors")


class QatConfig(Settings):
    """Configuration of quantisation-aware fine-tuning.

    Args:
        calibration_images: of the steering split, which the scales start from.
    """

    data: DataConfig
    recipe: Recipe
    forms: Forms
    calibration_images: Annotated[int, Field(ge=1)] = 256
    quant: QuantSettings = DEFAULT_QUANT


def stage(config: QatConfig) -> Stage:
    """Return what the command reads and writes."""
    inputs = [config.run.file(name) for name in INPUTS]
    outputs = ("qat.json", "qat.safetensors")
    return Stage("evolve.qat", config.content(), [*inputs, *config.data.files()], outputs)


def train_aware(config: QatConfig) -> None:
    """Train and write ``qat.json`` (scales) and ``qat.safetensors`` (parameters by node)."""
    weights_file = config.run.file("model.safetensors")
    subnet = read_value(config.run.file("finetuned_subnet.json"), "subnet", SubnetConfig)
    config.data.check_network(subnet)
    dataset = load(config.data, subnet.img_size)
    weights = load_arrays(weights_file)
    model = float_model(subnet, weights, dataset.preprocessing, str(weights_file), config.forms)
    few = dataset.steering.images[: config.calibration_images]
    model = prepare(model, few, config.quant)
    quant = choose_quant(model.graph, calibrate(model, few, config.quant).ranges)

    import torch

    from evolve.qat_network import RoundedNetwork
    from supernet.data import BatchSource
    from supernet.task import Task, seed_everything
    from supernet.trainer import train

    torch.set_num_threads(config.threads)
    seed_everything(config.seed, "init", "qat")
    network = RoundedNetwork(model, quant)
    both = dataset.train.joined(dataset.steering)
    identity = {
        "subnet": subnet.dump(),
        "start": file_digest(weights_file),
        "data": both.digest,
        "forms": config.forms.dump(),
        "scales": {name: [q.scale, q.zero_point] for name, q in quant.items()},
    }
    name = digest(canonical_json([identity, config.recipe.content(), config.seed]).encode())[:8]
    task = Task(
        model=network,
        batches=BatchSource(both, dataset.preprocessing, config.recipe, config.seed),
        recipe=config.recipe,
        num_classes=subnet.num_classes,
        seed=config.seed,
        directory=config.run.file("qat") / name,
        identity=identity,
    )
    trained = train(task, config.recipe.epochs, "quantisation-aware")
    params, found = trained.model.learned()
    scales = {name: [scale, quant[name].zero_point] for name, scale in found.items()}
    save_arrays(config.run.file("qat.safetensors"), params)
    content = {"subnet": subnet.dump(), "forms": config.forms.dump(), "quant": scales}
    write_json(config.run.file("qat.json"), "qat", content)


def main() -> int:
    """Run the command line."""
    return entry.run(
        "evolve_qat", QatConfig, lambda c: execute(c, stage(c), lambda: train_aware(c))
    )


if __name__ == "__main__":
    sys.exit(main())
