"""``python -m evolve.qat``: fine-tune the run's network under its own int8 arithmetic.

The trained network walks the exporter's graph. It rounds every tensor that the firmware rounds,
with the same scale, zero point and rounding, and every weight as the lowering does. It learns
weights and scales, which ``export.source=qat`` then lowers.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from mcuformer.data.dataset import DataConfig, load
from mcuformer.device import Device
from mcuformer.limits import ImageCount
from mcuformer.run.artifact import Stage, file_digest
from mcuformer.run.command import Command, Settings
from mcuformer.run.threads import run_threads
from oplib.forms import Forms
from oplib.network.source import FILES, LearnedScales, NetworkSource, save_learned
from oplib.ops.quant import QuantParams
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings, calibrate, choose_quant
from oplib.quantize.lower import prepare
from supernet.recipe import Recipe

START = NetworkSource(name="finetuned")


class QatConfig(Settings):
    """Configuration of quantisation-aware fine-tuning.

    Args:
        device: board that the run is for; only the default of `run_dir` depends on it.
        data: data set.
        recipe: optimiser, schedule and augmentation.
        forms: forms of the operators; the export must use the same.
        calibration_images: number of images of the steering split that initialise the scales.
        quant: how the scales are initialised.
    """

    without_effect: ClassVar[tuple[str, ...]] = (*Settings.without_effect, "device")

    device: Device | None = None
    data: DataConfig
    recipe: Recipe
    forms: Forms
    calibration_images: ImageCount = 256
    quant: QuantSettings = DEFAULT_QUANT


def stage(config: QatConfig) -> Stage:
    """Return what the command reads and writes."""
    inputs = [*START.files(config.run), *config.data.files()]
    return Stage(QAT.name, config.content(), inputs, FILES["qat"])


def train_aware(config: QatConfig) -> None:
    """Train; write ``qat.json`` (scales) and ``qat.safetensors`` (parameters by node).

    Raises:
        ArtifactError: the fine-tuned network is damaged.
        DataError: it is for other channels or classes than the data's.
    """
    start = START.read(config.run)
    config.data.check_network(start.subnet)
    dataset = load(
        config.data, start.subnet.img_size, crops=config.recipe.resized_crop_scale is not None
    )
    calibration_images = dataset.steering.images[: config.calibration_images]
    model = start.float_model(dataset.preprocessing, config.forms)
    model = prepare(model, calibration_images, config.quant)
    ranges = calibrate(model, calibration_images, config.quant).ranges
    quant = choose_quant(model.graph, ranges)

    import torch

    from evolve.qat_network import RoundedNetwork
    from supernet.task import network_task, seed_everything
    from supernet.trainer import train
    from supernet.validation import TrainingAccuracy

    seed_everything(config.seed, "init", "qat")
    network = RoundedNetwork(model, quant)
    identity = {
        "subnet": start.subnet.dump(),
        "start": file_digest(start.where),
        "forms": config.forms.dump(),
        "scales": {name: [q.scale, q.zero_point] for name, q in quant.items()},
    }
    directory = config.run.file("qat")
    task = network_task(network, dataset, config.recipe, config.seed, directory, identity)
    torch.set_num_threads(run_threads(config.run, config.threads))
    measure = TrainingAccuracy(dataset, config.seed)
    trained = train(task, config.recipe.epochs, "quantisation-aware training", measure)
    params, scales = trained.model.learned()
    learned = {name: QuantParams(scale, quant[name].zero_point) for name, scale in scales.items()}
    save_learned(config.run, start.subnet, params, LearnedScales(config.forms, learned))


QAT = Command("evolve.qat", QatConfig, stage, train_aware)


if __name__ == "__main__":
    sys.exit(QAT.main())
