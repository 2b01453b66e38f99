"""A network in integers, ready to export: made from a float network, or taken as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer.cost import Cost
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.errors import ConfigError, DataError
from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.run.progress import say
from mcuformer.seed import stream
from mcuformer.subnet import SubnetConfig
from mcuformer.zoo_entry import LAYERS, ZooEntry, in_zoo
from oplib.export_config import ExportConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.network.model_file import SavedModel
from oplib.network.reference import FloatModel, IntegerModel, run_float, run_integer
from oplib.network.source import FILES, NetworkSource, SourceNetwork, saved_as
from oplib.ops.base import Array
from oplib.plan.schedule import Schedule
from oplib.quantize.calibrate import calibrate
from oplib.quantize.layer_quality import layer_report, warnings
from oplib.quantize.lower import lower, lower_with, prepare
from oplib.target.fitting import fitting_schedule
from oplib.target.predict import ExportedNetwork, image_brightness
from oplib.target.target import Target

ACCURACY = ("accuracy_percent", "accuracy_images", "accuracy_part")  # of an export's record


@dataclass(frozen=True)
class Exportable:
    """A network in integers that fits its target.

    Args:
        source: the float network, as the export's record names it.
        network: the float network, as read from its files.
        floating: the same as a graph.
        integer: the integer network.
        target: device, budget and forms.
        cost: what the network takes of the device.
        scheduled: its schedule.
        class_names: name of each class.
        images: pictures of the data set, raw pixels (B, H, W, C); fewer than asked for if no more
            are at hand.
        labels: their class numbers (B,).
        accuracy: ``accuracy_percent`` of both networks, on how many images (``accuracy_images``)
            of which part (``accuracy_part``).
        calibration_images: number of images that set the scales.
        brightness: what these look like, as :func:`image_brightness` returns it.
        layers: rows of the report on every layer.
    """

    source: NetworkSource
    network: SourceNetwork
    floating: FloatModel
    integer: IntegerModel
    target: Target
    cost: Cost
    scheduled: Schedule
    class_names: tuple[str, ...]
    images: Array
    labels: Array
    accuracy: Mapping[str, Any]
    calibration_images: int
    brightness: tuple[float, float]
    layers: list[dict[str, Any]]

    @property
    def subnet(self) -> SubnetConfig:
        """The network's shape."""
        return self.network.subnet

    def check_images(self, count: int, seed: int) -> Array:
        """Return images (count, H, W, C) to compare on: the pictures, then random pixels."""
        shape = (max(0, count - len(self.images)), *self.images.shape[1:])
        top = self.integer.preprocessing.value_max
        made_up = stream(seed, "made-up images").integers(0, top, shape, np.uint8, endpoint=True)
        return np.concatenate([self.images[:count], made_up])


def exportable(config: ExportConfig) -> Exportable:
    """Return the network that a configuration exports.

    Raises:
        ArtifactError: naming the file or the weight.
        LoweringError: naming the layer.
        BudgetError: the network does not fit.
        ConfigError: the integers are of other forms than the configured ones.
    """
    if config.network is None:
        return calibrated(config)
    return taken(config, config.network)


def calibrated(config: ExportConfig) -> Exportable:
    """Return a float network in integers that calibration, or training, chose the scales of."""
    network, target = config.source.read(config.run), config.target
    config.data.check_network(network.subnet)
    cost, scheduled = fitting_schedule(target, network.subnet)
    dataset = load(config.data, network.subnet.img_size)
    settings, steering = config.export, dataset.steering
    images = steering.images[: settings.calibration_images]
    model, integer = lower_network(config, network, dataset)
    count = settings.report_images
    rows = layer_report(model, integer, steering.images[:count], steering.labels[:count])
    for line in warnings(rows):
        say(line)
    count = max(settings.check_images, settings.test_images)
    return Exportable(
        source=config.source,
        network=network,
        floating=model,
        integer=integer,
        target=target,
        cost=cost,
        scheduled=scheduled,
        class_names=dataset.class_names,
        images=steering.images[:count],
        labels=steering.labels[:count],
        accuracy={
            "accuracy_percent": measured_accuracy(model, integer, images, steering.labels),
            "accuracy_images": len(images),
            "accuracy_part": "steering",
        },
        calibration_images=len(images),
        brightness=image_brightness(images, dataset.preprocessing),
        layers=[row.dump() for row in rows],
    )


def lower_network(
    config: ExportConfig, network: SourceNetwork, dataset: Dataset
) -> tuple[FloatModel, IntegerModel]:
    """Return the network in float and in integers: calibrated, or with learned scales.

    Raises:
        ArtifactError: naming the weight.
        LoweringError: naming the layer.
        ConfigError: the scales were learned for other forms.
    """
    settings = config.export.quant
    model = network.float_model(dataset.preprocessing, config.forms)
    if network.learned is not None:
        return model, lower_with(model, network.learned.quant, {})
    images = dataset.steering.images[: config.export.calibration_images]
    model = prepare(model, images, settings)
    return model, lower(model, calibrate(model, images, settings), settings)


def measured_accuracy(
    model: FloatModel, integer: IntegerModel, images: Array, labels: Array
) -> dict[str, float]:
    """Return the top-1 accuracy in percent of both networks.

    Args:
        model: the float network.
        integer: the integer network.
        images: raw pixels (B, H, W, C).
        labels: class numbers, (at least B,).
    """
    logits = {"float": run_float(model, images), "int8": run_integer(integer, images)}
    return {
        name: round(100.0 * float(np.mean(values.argmax(axis=1) == labels[: len(images)])), 4)
        for name, values in logits.items()
    }


@dataclass(frozen=True)
class _Origin:
    """Where integers are taken from.

    Args:
        exported: the network.
        network: its float weights.
        source: their kind in the run that takes them.
        images: pictures of its data set, raw pixels (B, H, W, C).
        labels: their class numbers (B,).
        accuracy: as :attr:`Exportable.accuracy`.
        calibration_images: number of images that set the scales.
        layers: file of the report on every layer.
    """

    exported: ExportedNetwork
    network: SourceNetwork
    source: NetworkSource
    images: Array
    labels: Array
    accuracy: Mapping[str, Any]
    calibration_images: int
    layers: Path


def taken(config: ExportConfig, place: str) -> Exportable:
    """Return the integers of ``zoo:NAME`` or of a run's folder for another device or budget."""
    origin = _of_zoo(place) if in_zoo(place) else _of_run(place, config)
    saved = origin.exported.saved
    target = replace(config.target, forms=taken_forms(config.forms, saved))
    cost, scheduled = fitting_schedule(target, saved.subnet)
    rows = read_json(origin.layers, "layers")
    with parsing(origin.layers):
        layers = [dict(row) for row in rows["rows"]]
    return Exportable(
        source=origin.source.model_copy(update={"origin": place}),
        network=origin.network,
        floating=origin.exported.floating,
        integer=saved.integer,
        target=target,
        cost=cost,
        scheduled=scheduled,
        class_names=saved.class_names,
        images=origin.images,
        labels=origin.labels,
        accuracy=origin.accuracy,
        calibration_images=origin.calibration_images,
        brightness=origin.exported.brightness,
        layers=layers,
    )


def taken_forms(configured: Forms, saved: SavedModel) -> Forms:
    """Return the forms of integers that are there: their own, with the memory passes asked for.

    Raises:
        ConfigError: other integers are asked for.
    """
    if configured == DEFAULT_FORMS:
        return saved.forms
    own, asked = (forms.arithmetic.dump() for forms in (saved.forms, configured))
    for name, value in own.items():
        if asked[name] != value:
            raise ConfigError(
                "the integers of the network are of another form",
                where=f"forms.{name}",
                got=asked[name],
                expected=value,
            )
    return configured


def taken_files(place: str) -> list[Path]:
    """Return the files that :func:`taken` reads.

    Raises:
        ConfigError: the zoo has no entry of this name.
        ArtifactError: a file is damaged, or the folder has no export.
        DataError: a file of the data is missing.
    """
    if in_zoo(place):
        return [ZooEntry.named(place).folder]
    run = RunDir(place)
    names = ("export.json", LAYERS, "model_int8.json", "model_int8.safetensors")
    files = [*map(run.file, names), *NetworkSource.exported(run).files(run)]
    return [*files, *_readable(recorded_data(run))]


def taken_outputs(place: str) -> tuple[str, ...]:
    """Return the names of the files that the float weights of ``network=`` are written to."""
    source = "finetuned" if in_zoo(place) else NetworkSource.exported(RunDir(place)).name
    return FILES[saved_as(source)]


def recorded_data(run: RunDir) -> DataConfig | None:
    """Return the data set of a run's export; None if it took its integers from elsewhere.

    Raises:
        ArtifactError: the export's record is missing or damaged.
    """
    record = run.record("oplib.export")
    with parsing(run.record_file("oplib.export")):
        data = record.config["data"]
        return None if data is None else DataConfig.parse(data)


def _readable(data: DataConfig | None) -> list[Path]:
    """Return the files of a data set; none if they are missing."""
    try:
        return [] if data is None else list(data.files())
    except DataError:
        return []


def _of_zoo(place: str) -> _Origin:
    entry = ZooEntry.named(place)
    images, labels = entry.test_images()
    manifest = entry.manifest
    return _Origin(
        exported=ExportedNetwork.of_zoo(entry),
        network=SourceNetwork.of_zoo(entry),
        source=NetworkSource(),
        images=images,
        labels=labels,
        accuracy={
            "accuracy_percent": dict(manifest.accuracy_percent),
            "accuracy_images": manifest.data.test_images,
            "accuracy_part": "test",
        },
        calibration_images=manifest.calibration_images,
        layers=entry.file(LAYERS),
    )


def _of_run(place: str, config: ExportConfig) -> _Origin:
    run = RunDir(place)
    run.refuse_changed([run.file(LAYERS)])
    exported = ExportedNetwork.of_run(run)
    path, source = run.file("export.json"), NetworkSource.exported(run)
    content = read_json(path, "export")
    with parsing(path):
        count = int(content["calibration_images"])
        accuracy = {name: content[name] for name in ACCURACY if name in content}
    size = max(config.export.check_images, config.export.test_images)
    images, labels = _recorded_images(run, exported, size)
    return _Origin(
        exported=exported,
        network=source.read(run),
        source=NetworkSource(name=saved_as(source.name)),
        images=images,
        labels=labels,
        accuracy=accuracy,
        calibration_images=count,
        layers=run.file(LAYERS),
    )


def _recorded_images(run: RunDir, exported: ExportedNetwork, count: int) -> tuple[Array, Array]:
    """Return steering images (B, H, W, C) and labels of a run's export; none without its data."""
    pre, data = exported.saved.integer.preprocessing, recorded_data(run)
    none = np.empty((0, pre.img_size, pre.img_size, pre.in_chans), np.uint8), np.empty(0, np.int64)
    if data is None:
        return none
    try:
        steering = load(data, pre.img_size).steering
    except DataError as error:
        say(f"checked on made-up images, because of the data: {error}")
        return none
    return steering.images[:count], steering.labels[:count]
