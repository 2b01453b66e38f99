"""A network that the user trained with timm goes to firmware without any search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands import Printed, run
from timm.models.vision_transformer import VisionTransformer

from mcuformer.run.artifact import file_digest, save_arrays
from supernet.checkpoint import model_arrays

VIT = {
    "img_size": 8,
    "patch_size": 2,
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 3,
    "mlp_ratio": 2.0,
    "class_token": False,
    "global_pool": "avg",
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    weights, vit = tmp_path / "my_vit.safetensors", tmp_path / "my_vit.yaml"
    save_arrays(weights, model_arrays(VisionTransformer(**VIT)))
    vit.write_text(yaml.safe_dump(VIT))
    return weights, vit


def export(files: tuple[Path, Path], run_dir: Path, *more: str, fresh: bool = False) -> Printed:
    arguments = [f"weights={files[0]}", f"vit={files[1]}", f"run_dir={run_dir}", *more]
    return run(["-m", "oplib.export", *arguments], fresh=fresh)


def test_export_twice_byte_for_byte(files: tuple[Path, Path], tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        result = export(files, tmp_path / name, fresh=name == "two")
        assert result.returncode == 0, result.stderr
        content = json.loads((tmp_path / name / "export.json").read_text())
        assert False not in content["bit_exact"].values()
        digests.append(file_digest(tmp_path / name / "firmware"))
    assert digests[0] == digests[1]
    manifest = json.loads((tmp_path / "one" / "firmware" / "manifest.json").read_text())
    assert manifest["class_names"] == [str(i) for i in range(10)]
    assert manifest["preprocessing"]["value_max"] == 16
    assert (tmp_path / "one" / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_exported_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, vit = files

    def refused(message: str, *more: str) -> None:
        result = export(files, tmp_path / "run", *more)
        assert result.returncode == 2
        assert message in result.stderr
        assert not (tmp_path / "run" / "firmware").exists()

    refused("the network does not fit stm32f100; memory peaks at ", "budget.sram_bytes=1000")
    refused("weights: a network of your own needs both", "weights=null")
    vit.write_text(yaml.safe_dump(VIT | {"depth": 3}))
    refused("weight blocks.2.norm1.weight does not fit the network (got nothing")
    vit.write_text(yaml.safe_dump(VIT | {"class_token": True, "global_pool": "token"}))
    refused("weight cls_token does not fit the network (got nothing")
    vit.write_text(yaml.safe_dump(VIT | {"dept": 3}))
    refused("vit.dept: unknown key")
    vit.write_text(yaml.safe_dump(VIT))
    arrays = model_arrays(VisionTransformer(**VIT))
    save_arrays(weights, arrays | {"dist_token": np.zeros((1, 1, 24), np.float32)})
    refused("weights.dist_token: a distillation token is not supported yet")
    broken = arrays["blocks.1.mlp.fc1.weight"].copy()
    broken[0, 0] = np.nan
    save_arrays(weights, arrays | {"blocks.1.mlp.fc1.weight": broken})
    refused("blocks.1.mlp.fc1")
    weights.write_bytes(b"damaged")
    refused("my_vit.safetensors: damaged")
