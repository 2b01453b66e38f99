"""Classify one image with the float network, the integer reference and the host C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import InternalError, ToolMissingError
from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.run.scratch import scratch
from mcuformer.zoo_entry import ZooEntry, in_zoo
from oplib.codegen.component import Component
from oplib.network.model_file import SavedModel, load_model
from oplib.network.reference import FloatModel, run_float, run_integer
from oplib.network.source import NetworkSource, SourceNetwork
from oplib.ops.base import Array
from oplib.target import host
from oplib.target.firmware import write_firmware
from oplib.target.target import Target


@dataclass(frozen=True)
class Prediction:
    """Logits of one image.

    Args:
        logits: real-valued logits (K,) of each computation, by name; None if it was not run.
        missing: why the host C was not run; None if it was.
    """

    logits: Mapping[str, Array | None]
    missing: str | None


@dataclass(frozen=True)
class ExportedNetwork:
    """A network as a run exported it.

    Args:
        target: device, budget and forms that it was exported for.
        saved: the integer network.
        floating: the float network that it was made from.
        brightness: what calibration images look like, as :func:`image_brightness` returns it.
    """

    target: Target
    saved: SavedModel
    floating: FloatModel
    brightness: tuple[float, float]

    @classmethod
    def of_run(cls, run: RunDir) -> ExportedNetwork:
        """Read the network of a run, which is not written to.

        Raises:
            ArtifactError: the run has no export, or a file of it was changed since.
            ConfigError: a value in a file is wrong.
        """
        path, source = run.file("export.json"), NetworkSource.exported(run)
        names = ("export.json", "model_int8.json", "model_int8.safetensors")
        run.refuse_changed([*map(run.file, names), *source.files(run)])
        content, saved = read_json(path, "export"), load_model(run.path)
        with parsing(path):
            device = Device.parse(content["device"], where=f"{path}: device")
            budget = BudgetConfig.parse(content["budget"], where=f"{path}: budget")
            mean, spread = map(float, content["brightness"])
        floating = source.read(run).float_model(saved.integer.preprocessing)
        return cls(Target(device, budget, saved.forms), saved, floating, (mean, spread))

    @classmethod
    def of_zoo(cls, entry: ZooEntry) -> ExportedNetwork:
        """Read the network of an entry of the zoo.

        Raises:
            ArtifactError: a file of it is damaged.
        """
        manifest, saved = entry.manifest, load_model(entry.folder)
        floating = SourceNetwork.of_zoo(entry).float_model(saved.integer.preprocessing)
        target = Target(manifest.device, manifest.budget, saved.forms)
        return cls(target, saved, floating, manifest.brightness)

    @classmethod
    def named(cls, place: str) -> ExportedNetwork:
        """Read the network of ``zoo:NAME``, or of a run's folder.

        Raises:
            McuformerError: as :meth:`of_run` and :meth:`ZooEntry.named`.
        """
        if in_zoo(place):
            return cls.of_zoo(ZooEntry.named(place))
        return cls.of_run(RunDir(place))


def image_brightness(images: Array, preprocessing: Preprocessing) -> tuple[float, float]:
    """Return mean and standard deviation of the images' mean pixels, from 0 (black) to 1 (white).

    Args:
        images: raw pixels (B, H, W, C).
        preprocessing: range of the raw pixels.
    """
    means = images.mean(axis=(1, 2, 3)) / preprocessing.value_max
    return round(float(means.mean()), 6), round(float(means.std()), 6)


def predict(exported: ExportedNetwork, image: Array) -> Prediction:
    """Return the logits of one image.

    The C is generated anew from the integer network: no code of a run directory is executed, and
    nothing is written to it.

    Args:
        exported: the network.
        image: raw pixels (H, W, C).

    Raises:
        FirmwareError: the host C does not build or run.
        InternalError: the host C does not equal the integer reference.
    """
    saved, target = exported.saved, exported.target
    integer = saved.integer
    unit = integer.quant[integer.graph.output].scale
    reference = run_integer(integer, image[None])
    logits: dict[str, Array | None] = {
        "float": run_float(exported.floating, image[None])[0],
        "int8": reference[0] * unit,
        "host C": None,
    }
    scheduled = target.schedule(saved.subnet)
    with scratch("build") as folder:
        write_firmware(folder, Component(integer, scheduled, target.device, saved.class_names))
        try:
            library = host.build(folder, folder / "host")
        except ToolMissingError as error:
            return Prediction(logits, f"host C not verified: {error}")
        computed = host.run_images(library, image[None], reference.shape[1])
    if not np.array_equal(computed, reference):
        raise InternalError("the host C does not equal the numpy reference")
    return Prediction(logits | {"host C": computed[0] * unit}, None)


def softmax(logits: Array) -> Array:
    """Return the probabilities of logits (..., K)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
