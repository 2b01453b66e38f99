"""Sources of networks to export: a run's own networks, or the user's.

Only this module knows the files and their two formats: float weights in timm's names, and
parameters by graph node with the scales that quantisation-aware training learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import (
    Arrays,
    RunDir,
    load_arrays,
    parsing,
    read_json,
    read_value,
    save_arrays,
    write_json,
)
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from mcuformer.zoo_entry import WEIGHTS, ZooEntry
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.network.model_file import SEPARATOR
from oplib.network.reference import FloatModel
from oplib.network.timm_vit import TimmVit, refuse_unknown_parts
from oplib.network.vit import float_model, refuse_misfits, weight_shapes
from oplib.ops.base import Array
from oplib.ops.quant import QuantParams

SourceName = Literal["finetuned", "search", "qat"]
FILES: dict[SourceName, tuple[str, str]] = {  # weights, and the network that they belong to
    "finetuned": ("model.safetensors", "finetuned_subnet.json"),
    "search": ("weights.safetensors", "subnet.json"),
    "qat": ("qat.safetensors", "qat.json"),
}


@dataclass(frozen=True)
class LearnedScales:
    """Scales that quantisation-aware training learned.

    Args:
        forms: forms of the integer operators during training.
        quant: scale and zero point of every rounded tensor, by name.
    """

    forms: Forms
    quant: Mapping[str, QuantParams]


@dataclass(frozen=True)
class SourceNetwork:
    """A network to export, as read from its files.

    Args:
        subnet: the network's shape.
        weights: float weights in timm's names or, with learned scales, by ``node|kind``.
        where: file of the weights, for messages.
        learned: scales from quantisation-aware training; None where calibration chooses them.
    """

    subnet: SubnetConfig
    weights: Arrays
    where: Path
    learned: LearnedScales | None = None

    @classmethod
    def of_zoo(cls, entry: ZooEntry) -> SourceNetwork:
        """Return the float network of an entry of the zoo, which is stored in 16 bits."""
        path = entry.file(WEIGHTS)
        weights = {name: values.astype(np.float32) for name, values in load_arrays(path).items()}
        return cls(entry.manifest.subnet, weights, path)

    def float_model(self, preprocessing: Preprocessing, forms: Forms | None = None) -> FloatModel:
        """Return the network in float.

        Args:
            preprocessing: how raw pixels are normalised.
            forms: forms of the integer operators; None if the network will not be lowered.

        Raises:
            ArtifactError: the weights are not the subnet's.
            ConfigError: the scales were learned for other forms.
        """
        if self.learned is None:
            chosen = DEFAULT_FORMS if forms is None else forms
            return float_model(self.subnet, self.weights, preprocessing, str(self.where), chosen)
        trained = self.learned.forms
        if forms is not None and forms.arithmetic != trained.arithmetic:
            raise ConfigError(
                "evolve.qat trained for other forms",
                where="forms",
                got=forms.dump(),
                expected=trained.dump(),
            )
        return self._by_node(preprocessing, forms or trained)

    def _by_node(self, preprocessing: Preprocessing, forms: Forms) -> FloatModel:
        """Return the float network of weights that are stored by node.

        Raises:
            ArtifactError: naming the first weight that is missing, unknown or of another shape.
        """
        shapes = weight_shapes(self.subnet).items()
        blank = {name: np.zeros(shape, np.float32) for name, shape in shapes}
        model = float_model(self.subnet, blank, preprocessing, str(self.where), forms)
        expected = {
            f"{node}{SEPARATOR}{kind}": values.shape
            for node, arrays in model.params.items()
            for kind, values in arrays.items()
        }
        refuse_misfits(expected, self.weights, str(self.where))
        params: dict[str, dict[str, Array]] = {}
        for key, values in self.weights.items():
            node, _, kind = key.partition(SEPARATOR)
            params.setdefault(node, {})[kind] = values
        return replace(model, params=params)


class NetworkSource(Value):
    """Choice of the network to export.

    Args:
        name: one of the run's networks: ``finetuned``, ``search`` (the search's winner with
            inherited weights) or ``qat`` (the network of evolve.qat).
        weights: the user's own safetensors in timm's names, with `vit`; takes precedence over
            `name`.
        vit: the user's network in timm's vocabulary.
        origin: where a run took one of its own networks from, together with the integers:
            ``zoo:NAME`` or another run's folder; null where the run made the integers.
    """

    name: SourceName = "finetuned"
    weights: str | None = None
    vit: TimmVit | None = None
    origin: str | None = None

    @classmethod
    def exported(cls, run: RunDir) -> NetworkSource:
        """Return the source of the network that a run's export used.

        Raises:
            ArtifactError: the run has no export.
        """
        path = run.file("export.json")
        content = read_json(path, "export")
        if "network" not in content:
            raise ArtifactError("names no network; run oplib.export again", where=path)
        return cls.parse(content["network"], where=str(path))

    def files(self, run: RunDir) -> list[Path]:
        """Return the files to read: the weights and, for a run's own network, its subnet.

        Raises:
            ConfigError: `weights` without `vit`, or the reverse.
        """
        if (self.weights is None) != (self.vit is None):
            raise ConfigError(
                "a network of your own needs both: weights=FILE.safetensors and vit=./FILE.yaml",
                where="weights" if self.weights is None else "vit",
            )
        if self.weights is not None:
            return [Path(self.weights)]
        return [run.file(name) for name in FILES[self.name]]

    def read(self, run: RunDir) -> SourceNetwork:
        """Read the network.

        Raises:
            ArtifactError: naming the file or the weight.
            LoweringError: naming the field of `vit`, or a weight, that is not supported.
            ConfigError: `weights` without `vit`, or the reverse.
        """
        files = self.files(run)
        weights = load_arrays(files[0])
        if self.vit is not None:
            refuse_unknown_parts(weights)
            return SourceNetwork(self.vit.subnet(), weights, files[0])
        if self.name == "qat":
            subnet, learned = _read_learned(files[1])
            return SourceNetwork(subnet, weights, files[0], learned)
        return SourceNetwork(read_value(files[1], "subnet", SubnetConfig), weights, files[0])

    def describe(self) -> str:
        """Return the source in words, for a message."""
        if self.origin is not None:
            return f"the integers of {self.origin}"
        if self.weights is not None:
            return f"your own weights ({self.weights})"
        return f"{self.name} ({FILES[self.name][0]})"


def save_network(run: RunDir, network: SourceNetwork) -> None:
    """Write a network into a run, as the source that :func:`saved_as` names.

    Args:
        run: run directory that receives weights and shape.
        network: the network.
    """
    if network.learned is not None:
        save_learned(run, network.subnet, network.weights, network.learned)
        return
    weights_file, subnet_file = (run.file(name) for name in FILES["finetuned"])
    save_arrays(weights_file, network.weights)
    write_json(subnet_file, "subnet", network.subnet.dump())


def saved_as(source: SourceName) -> SourceName:
    """Return the source as which :func:`save_network` writes a network of `source`."""
    return "qat" if source == "qat" else "finetuned"


def save_learned(
    run: RunDir, subnet: SubnetConfig, weights: Arrays, learned: LearnedScales
) -> None:
    """Write the network of quantisation-aware training, which is the source ``qat``.

    Args:
        run: run directory that receives ``qat.safetensors`` and ``qat.json``.
        subnet: the network's shape.
        weights: parameters, by ``node|kind``.
        learned: learned scales, and the forms during training.
    """
    weights_file, scales_file = (run.file(name) for name in FILES["qat"])
    save_arrays(weights_file, weights)
    content = {
        "subnet": subnet.dump(),
        "forms": learned.forms.dump(),
        "quant": {name: [q.scale, q.zero_point] for name, q in learned.quant.items()},
    }
    write_json(scales_file, "qat", content)


def _read_learned(path: Path) -> tuple[SubnetConfig, LearnedScales]:
    """Read what :func:`save_learned` wrote besides the weights."""
    content = read_json(path, "qat")
    with parsing(path):
        subnet = SubnetConfig.parse(content["subnet"], where=str(path))
        forms = Forms.parse(content["forms"], where=str(path))
        quant = {name: QuantParams(float(s), int(z)) for name, (s, z) in content["quant"].items()}
    return subnet, LearnedScales(forms, quant)
