"""Load a run's network by timm: ``supernet.register(); timm.create_model("local-dir:RUN")``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
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
    """Build a network for ``timm.create_model``; from a ``local-dir:`` with its weights.

    Args:
        pretrained: ignored; the weights of a ``local-dir:`` are always loaded.
        subnet: content of ``finetuned_subnet.json``.
        pad_value: normalised value of the padding pixel, per channel.
        num_classes: if it differs from the network's own, the head is replaced by a fresh one.
        drop_path_rate: stochastic depth of the last block.
        settings: further arguments that timm passes; `pretrained_cfg` contains the directory.

    Raises:
        ConfigError: `subnet` is not a subnet.
        ArtifactError: the weights are missing, damaged or those of another network.
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
    """Write the ``config.json`` that timm reads next to ``model.safetensors``.

    Args:
        path: file to write.
        subnet: architecture of the network.
        preprocessing: how images become its input.
        class_names: name of each class.
    """
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


def register() -> None:
    """Register :func:`mcuformer_vit` with timm; a second call changes nothing."""
    from timm.models import is_model, register_model

    if not is_model(ARCHITECTURE):
        register_model(mcuformer_vit)
