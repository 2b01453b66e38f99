"""Integer networks as files: arrays in safetensors, everything else in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.artifact import load_arrays, parsing, read_json, save_arrays, write_json
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.builder import build_graph
from oplib.network.reference import IntegerModel
from oplib.ops.base import Lowered
from oplib.ops.quant import QuantParams

SEPARATOR = "|"


@dataclass(frozen=True)
class SavedModel:
    """An integer network as :func:`save_model` wrote it.

    Args:
        integer: the network.
        subnet: its shape.
        forms: forms of its operators.
        class_names: name of each class.
    """

    integer: IntegerModel
    subnet: SubnetConfig
    forms: Forms
    class_names: tuple[str, ...]


def save_model(
    directory: Path,
    model: IntegerModel,
    subnet: SubnetConfig,
    forms: Forms,
    class_names: tuple[str, ...],
) -> None:
    """Write an integer network as ``model_int8.safetensors`` and ``model_int8.json``."""
    arrays = {
        f"{node}{SEPARATOR}{name}": values
        for node, lowered in model.lowered.items()
        for name, values in lowered.arrays.items()
    }
    content: dict[str, Any] = {
        "subnet": subnet.dump(),
        "forms": forms.dump(),
        "preprocessing": model.preprocessing.dump(),
        "class_names": list(class_names),
        "quant": {name: [q.scale, q.zero_point] for name, q in model.quant.items()},
        "scalars": {node: lowered.scalars for node, lowered in model.lowered.items()},
    }
    save_arrays(directory / "model_int8.safetensors", arrays)
    write_json(directory / "model_int8.json", "model_int8", content)


def load_model(directory: Path) -> SavedModel:
    """Read what :func:`save_model` wrote.

    Raises:
        ArtifactError: a file is missing, damaged or of another kind.
    """
    path = directory / "model_int8.json"
    content = read_json(path, "model_int8")
    with parsing(path):
        subnet = SubnetConfig.parse(content["subnet"], where=str(path))
        forms = Forms.parse(content["forms"], where=str(path))
        preprocessing = Preprocessing.parse(content["preprocessing"], where=str(path))
        quant = {name: QuantParams(float(s), int(z)) for name, (s, z) in content["quant"].items()}
        lowered = {node: Lowered({}, dict(s)) for node, s in content["scalars"].items()}
        class_names = tuple(str(name) for name in content["class_names"])
        for key, values in load_arrays(directory / "model_int8.safetensors").items():
            node, _, name = key.partition(SEPARATOR)
            lowered[node].arrays[name] = values
    integer = IntegerModel(build_graph(subnet, forms), quant, lowered, preprocessing)
    return SavedModel(integer, subnet, forms, class_names)
