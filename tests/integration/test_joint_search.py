"""One supernet over all axes, with a rank per layer: from training to firmware, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from mcuformer.chain import ChainConfig, stage_config, stages
from mcuformer.report.measure import REPORT
from mcuformer.run.artifact import read_value
from mcuformer.run.entry import compose
from mcuformer.subnet import SubnetConfig
from oplib.export import EXPORT
from supernet.train import TRAIN

SMALL = [
    "threads=1",
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[2,4]",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
    "space.num_heads=[2]",  # few kinds of blocks, because each is planned anew
    "space.mlp_ratio=[2.0]",
    "train.epochs=2",
    "train.warmup_epochs=1",
    "finetune.epochs=2",
    "finetune.warmup_epochs=1",
    "strategy=random",
    "strategy.samples=30",
]


@pytest.mark.usefixtures("host_tools")
def test_all_axes_and_ranks_reach_the_firmware(tmp_path: Path) -> None:
    changes = [*SMALL, "axes=all", "space.rank_per_layer=true", f"run_dir={tmp_path}"]
    config = ChainConfig.parse(compose("mcuformer", changes, ChainConfig))
    assert [*stages(config)] == [TRAIN, SEARCH, FINETUNE, EXPORT, REPORT]
    for command in stages(config):
        command.execute(stage_config(command, config))
    assert not (tmp_path / "space.json").exists()
    rows = [json.loads(line) for line in (tmp_path / "search.jsonl").read_text().splitlines()]
    found = [SubnetConfig.parse(row["subnet"]) for row in rows]
    assert {subnet.patch_size for subnet in found} == {2, 4}
    assert all(config.space.contains(subnet) for subnet in found)
    blocks = [block for subnet in found for block in subnet.blocks]
    assert {block.fc2_rank_ratio for block in blocks} == {0.5, 1.0}
    assert any(block.qkv_rank_ratio != block.fc1_rank_ratio for block in blocks)
    winner = read_value(tmp_path / "finetuned_subnet.json", "subnet", SubnetConfig)
    report = json.loads((tmp_path / "report_measured.json").read_text())
    assert report["space"]["patch_size"] == winner.patch_size
    assert report["bit_exact"]["host"]
    assert False not in report["bit_exact"].values()
    assert report["macs"] == winner.merged.macs


def test_axes_that_the_supernet_has_not_learned_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [f"run_dir={tmp_path}", "threads=1"]
    space = [text for text in SMALL if text.startswith("space")]
    point = ["point.rank_ratio=0.5", "point.patch_size=4"]
    short = ["recipe.epochs=1", "recipe.warmup_epochs=0"]
    assert TRAIN.main([*run, *space, *point, *short]) == 0
    before = {path.name for path in tmp_path.iterdir()}
    assert SEARCH.main([*run, "axes=all"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: axes: the supernet was trained at r0.50_p4 alone, not on rank_")
    assert {path.name for path in tmp_path.iterdir()} == before
