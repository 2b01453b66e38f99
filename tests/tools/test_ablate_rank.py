"""Low rank against dense: intervals by hand, factors that keep a function, and the tool."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from mcuformer.errors import BudgetError, ConfigError
from mcuformer.subnet import SubnetConfig
from supernet.vit import Vit


@pytest.fixture
def ablation(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("ablate_rank")


def test_interval(ablation: ModuleType) -> None:
    """One group as scipy has it; two groups by hand: their variance is (2 + 2) / 2."""
    values = [0.3, -0.1, 0.9]
    expected = ttest_1samp(values, 0.0).confidence_interval()
    found = ablation.paired.interval([values])
    assert [found["low"], found["high"]] == pytest.approx([expected.low, expected.high])
    found = ablation.paired.interval([[1.0, 3.0], [4.0, 6.0]])
    half = 4.302653 * 0.5**0.5  # t of 2 degrees of freedom at 0.975, from a table
    assert list(found.values()) == pytest.approx([3.5, 3.5 - half, 3.5 + half])
    assert ablation.paired.interval([[1.0], [2.0]]) == {"mean": 1.5, "low": None, "high": None}


def test_differences(ablation: ModuleType) -> None:
    """The pairs are those of a seed, a limit and a memory model."""
    accuracies = {(1.0, "scratch"): [80, 82], (1.0, "svd"): [81, 84]}
    accuracies |= {(0.5, "scratch"): [79, 82], (0.5, "svd"): [82, 88]}
    rows = [
        {"memory": "flash", "flash_limit": limit, "ratio": ratio, "start": start, "accuracy": value}
        for (ratio, start), values in accuracies.items()
        for limit in (1, 2)
        for value in np.add(values, limit)
    ]
    found = {
        (row["ratio"], row["start"], row["over_ratio"], row["over_start"]): row["mean"]
        for row in ablation.differences(rows)
        if row["flash_limit"] is None
    }
    assert found == {
        (1.0, "svd", 1.0, "scratch"): 1.5,
        (0.5, "scratch", 1.0, "scratch"): -0.5,
        (0.5, "svd", 1.0, "svd"): 2.5,
        (0.5, "svd", 1.0, "scratch"): 4.0,
        (0.5, "svd", 0.5, "scratch"): 4.5,
    }


def test_factors_of_low_rank_weights_keep_the_function(
    ablation: ModuleType, small_subnet: SubnetConfig
) -> None:
    """Dense layers that are products of two factors lose nothing by the truncation."""
    torch.manual_seed(0)
    subnet = small_subnet.model_copy(update={"rank_ratio": 0.5, "low_rank": ("qkv", "fc1", "fc2")})
    pads = (0.0,) * subnet.in_chans
    low, dense = Vit(subnet, pads), Vit(subnet.model_copy(update={"rank_ratio": 1.0}), pads)
    for parameter in low.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases are not zero
    weights = low.state_dict()
    for name in [name for name in weights if name.endswith(".v.weight")]:
        layer = name.removesuffix(".v.weight")
        weights[f"{layer}.weight"] = weights.pop(f"{layer}.u.weight") @ weights.pop(name)
        weights[f"{layer}.bias"] = weights.pop(f"{layer}.u.bias")
    dense.load_state_dict(weights)
    images = torch.randn(4, subnet.in_chans, subnet.img_size, subnet.img_size)
    with torch.no_grad():
        again = ablation.factored(dense, subnet)(images)
        assert torch.allclose(again, low(images), atol=1e-3 * float(again.abs().max()))


@pytest.fixture
def options(tmp_path: Path) -> argparse.Namespace:
    overrides = ["data=digits", "space.embed_dim=[16,32]", "space.depth=[1,2]"]
    return argparse.Namespace(
        overrides=[*overrides, "space.patch_size=[4]", "recipe.batch_size=64"],
        flash_kb=[64],
        ratios=[1.0, 0.5],
        memories=["staged"],
        seeds=1,
        epochs=8,
        train_images=1000,
        draws=100,
        out=tmp_path,
    )


@pytest.mark.usefixtures("emulator_tools")
def test_the_tool_records(
    ablation: ModuleType, options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ablation.measure(options)
    rows = {(row["ratio"], row["start"]): row for row in found["rows"]}
    assert list(rows) == [(1.0, "scratch"), (1.0, "svd"), (0.5, "scratch"), (0.5, "svd")]
    assert all(0 < row["flash_bytes"] <= 64 * 1024 for row in found["rows"])
    assert all(0 < row["sram_bytes"] <= 12 * 1024 for row in found["rows"])
    assert all(row["accuracy"] > 20 for row in found["rows"])  # guessing gives 10
    assert len(ablation.tables(found)) == 2

    def refuse(*arguments: Any) -> None:
        pytest.fail("a recorded training is repeated")

    monkeypatch.setattr(ablation, "train_and_measure", refuse)
    assert ablation.measure(options) == found


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ratios": [0.5]}, ConfigError, "--ratios"),
        ({"epochs": 3}, ConfigError, "--epochs"),
        ({"flash_kb": [2000]}, BudgetError, "budget.flash_bytes"),
        ({"flash_kb": [8]}, BudgetError, "none of"),
    ],
)
def test_refusals(
    ablation: ModuleType,
    options: argparse.Namespace,
    change: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    changed = argparse.Namespace(**{**vars(options), **change})
    with pytest.raises(error, match=message):
        ablation.measure(changed)
    assert not list(options.out.rglob("*.json"))
