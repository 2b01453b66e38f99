"""Extracted networks for timm: ``import supernet; timm.create_model("local-dir:RUN")``.

``import supernet`` must stay light, because commands check their configuration before they import
torch. So the registration waits until timm's models are imported, if they are not yet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.artifact import write_bytes
from mcuformer.subnet import SubnetConfig

ARCHITECTURE = "mcuformer_vit"


def mcuformer_vit(
    pretrained: bool = False,
    *,
    subnet: dict[str, Any],
    pad_value: Sequence[float],
    num_classes: int | None = None,
    drop_path_rate: float = 0.0,
    **settings: Any,
) -> Any:
    """Build a network for ``timm.create_model``, with its weights where it comes from a directory.

    Args:
        pretrained: without meaning: a directory's weights are always loaded.
        subnet: as in ``finetuned_subnet.json``.
        pad_value: normalised value of each channel that padding consists of.
        num_classes: other than the network's own, for a new head.
    """
    from supernet.checkpoint import load_model
    from supernet.vit import Vit

    vit = Vit(SubnetConfig.parse(subnet), tuple(pad_value), drop_path_rate)
    pretrained_cfg = settings.get("pretrained_cfg") or {}
    if isinstance(pretrained_cfg, dict) and pretrained_cfg.get("source") == "local-dir":
        load_model(vit, Path(pretrained_cfg["file"]) / "model.safetensors")
    vit.pretrained_cfg = vit.default_cfg = pretrained_cfg
    if num_classes is not None and num_classes != vit.num_classes:
        vit.reset_classifier(num_classes)
    return vit


def write_timm_config(
    path: Path, subnet: SubnetConfig, preprocessing: Preprocessing, class_names: Sequence[str]
) -> None:
    """Write the ``config.json`` that, beside ``model.safetensors``, timm loads a network from."""
    from supernet.data import pad_value

    size = subnet.img_size
    content = {
        "architecture": ARCHITECTURE,
        "num_classes": subnet.num_classes,
        "num_features": subnet.embed_dim,
        "label_names": list(class_names),
        "pretrained_cfg": {
            "input_size": [subnet.in_chans, size, size],
            "fixed_input_size": True,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.resize,
            "crop_pct": 1.0,
            "num_classes": subnet.num_classes,
            "classifier": "head",
        },
        "model_args": {"subnet": subnet.dump(), "pad_value": list(pad_value(preprocessing))},
    }
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def register_with_timm() -> None:
    """Make timm know :func:`mcuformer_vit`, now or once its models are imported."""
    if "timm.models" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterTimm) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTimm())


def _register() -> None:
    from timm.models import is_model, register_model

    if not is_model(ARCHITECTURE):
        register_model(mcuformer_vit)


class _AfterTimm(MetaPathFinder):
    """Registers when ``timm.models`` has been imported, and then is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "timm.models":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
