"""A network that is pruned in fine-tuning goes to firmware with smaller matrices."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from evolve.finetune import FINETUNE
from mcuformer.run.artifact import read_value, write_json
from mcuformer.subnet import SubnetConfig
from oplib.export import EXPORT
from oplib.network.vit import weight_shapes

SHORT = ["recipe.epochs=3", "recipe.warmup_epochs=1", "recipe.mixup=0.0", "threads=1"]
SUBNET = {
    "img_size": 8,
    "patch_size": 2,
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 32,
    "rank_ratio": 0.5,
    "low_rank": ["fc1"],
    "blocks": [{"num_heads": 3, "head_dim": 16, "mlp_ratio": 3.0}] * 2,
}


@pytest.fixture
def subnet(tmp_path: Path) -> Path:
    path = tmp_path / "my_subnet.json"
    write_json(path, "subnet", SubnetConfig.parse(SUBNET).dump())
    return path


@pytest.mark.usefixtures("host_tools")
def test_the_firmwares_matrices_are_smaller(
    subnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes, matrices = {}, {}
    for name in ("none", "feedback"):
        run_dir = tmp_path / name
        arguments = [*SHORT, f"subnet={subnet}", f"pruning={name}", f"run_dir={run_dir}"]
        assert FINETUNE.main(arguments) == 0
        assert EXPORT.main([f"run_dir={run_dir}", "device=stm32f405"]) == 0
        content = json.loads((run_dir / "export.json").read_text())
        assert False not in content["bit_exact"].values()
        sizes[name] = content["footprint"]["weights_bytes"]
        if content["linked"] is not None:  # the export compares them too
            assert content["linked"]["weights"] == sizes[name]
        found = read_value(run_dir / "finetuned_subnet.json", "subnet", SubnetConfig)
        shapes = weight_shapes(found)
        matrices[name] = sum(
            prod(shape) for path, shape in shapes.items() if "blocks" in path and len(shape) == 2
        )
    counts = json.loads((tmp_path / "feedback" / "pruning.json").read_text())
    assert counts["parameters"] <= 0.5 * counts["parameters_before"]
    assert not (tmp_path / "none" / "pruning.json").exists()
    assert "pruned by feedback: " in capsys.readouterr().err
    # an int8 matrix has a byte per weight; what else shrinks are channels' biases and multipliers
    saved = matrices["none"] - matrices["feedback"]
    assert saved <= sizes["none"] - sizes["feedback"] <= 1.3 * saved
    assert sizes["feedback"] < 0.6 * sizes["none"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pruning=feedback", "pruning.share=0.95"], "pruning.share: this would leave a layer"),
        (
            ["pruning=feedback", "pruning.groups=[heads]"],
            "pruning.groups.0: Input should be 'head'",
        ),
        (["pruning=nonsense"], "Available options in 'pruning'"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    subnet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    assert FINETUNE.main([*SHORT, f"subnet={subnet}", f"run_dir={run_dir}", *arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert not run_dir.exists()
