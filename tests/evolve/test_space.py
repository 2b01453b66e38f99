"""The space search on real supernets, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evolve.space import SPACE, EvolveSpaceConfig
from mcuformer.run.artifact import read_json
from mcuformer.run.entry import compose
from supernet import trainer

SMALL = [
    "threads=1",
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[4,8]",
    "space.embed_dim=[32]",
    "space.depth=[1]",
    "space_search=joint",
    "space_search.visit_epochs=1",
    "space_search.max_visits=2",
    "space_search.num_samples=8",
    "space_search.accuracy_subnets=2",
    "recipe.epochs=4",
    "recipe.warmup_epochs=1",
]


def test_the_joint_supernet_is_trained_once_and_every_point_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    train = trainer.train

    def counted(task: Any, until_epoch: int, *more: Any) -> trainer.Trained:
        trained.append(until_epoch)
        return train(task, until_epoch, *more)

    monkeypatch.setattr(trainer, "train", counted)
    arguments = [*SMALL, f"run_dir={tmp_path / 'run'}"]
    config = EvolveSpaceConfig.parse(compose("evolve_space", arguments, EvolveSpaceConfig))
    SPACE.run(config)
    assert trained == [2]  # visits times epochs of a visit
    lines = (tmp_path / "run" / "space_search.jsonl").read_text().splitlines()
    assert len(lines) == len(config.space.points()) == 4
    assert read_json(tmp_path / "run" / "space.json", "space")["point_epochs"] == 0
