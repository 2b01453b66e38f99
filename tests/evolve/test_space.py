"""The space search on real supernets, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evolve.space import SPACE
from evolve.supernet_landscape import EvolveSpaceConfig
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


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the trainings so far: the point, and the epochs to finish."""
    calls: list[tuple[str, int]] = []
    train = trainer.train

    def counted(task: Any, until_epoch: int, *more: Any) -> trainer.Trained:
        calls.append((task.directory.name.rpartition("_")[0], until_epoch))
        return train(task, until_epoch, *more)

    monkeypatch.setattr(trainer, "train", counted)
    return calls


def test_the_joint_supernet_is_trained_once_and_every_point_scored(
    tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    arguments = [*SMALL, f"run_dir={tmp_path / 'run'}"]
    config = EvolveSpaceConfig.parse(compose("evolve_space", arguments, EvolveSpaceConfig))
    SPACE.run(config)
    assert trained == [("joint", 2)]  # visits times epochs of a visit
    lines = (tmp_path / "run" / "space_search.jsonl").read_text().splitlines()
    assert len(lines) == len(config.space.points()) == 4
    assert read_json(tmp_path / "run" / "space.json", "space")["point_epochs"] == 0


def test_points_start_from_one_joint_supernet(
    tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    changes = ["space_search=random", "warm_start_epochs=3", f"run_dir={tmp_path / 'run'}"]
    line = [*(text for text in SMALL if text != "space_search=joint"), *changes]
    config = EvolveSpaceConfig.parse(compose("evolve_space", line, EvolveSpaceConfig))
    SPACE.run(config)
    assert trained[0] == ("joint", 3)
    assert sorted(epochs for _, epochs in trained[1:]) == [1, 1]
    assert len({name for name, _ in trained}) == 3
    found = read_json(tmp_path / "run" / "space.json", "space")
    assert (found["search_epochs"], found["point_epochs"]) == (3 + 2, 0)
    [warm] = {path.parent for path in tmp_path.glob(f"run/points/{trained[1][0]}_*/epoch_0001")}
    cold = config.model_copy(update={"warm_start_epochs": 0})
    SPACE.run(cold)
    others = set(tmp_path.glob(f"run/points/{trained[1][0]}_*")) - {warm}
    assert len(others) == 1  # weights of another start have another name


def test_a_joint_start_needs_one_image_size(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    line = ["warm_start_epochs=3", "space.img_size=[8,12]", f"run_dir={tmp_path / 'run'}"]
    assert SPACE.main(line) == 2
    fault = "error: space.img_size: a joint supernet takes one image size"
    assert capsys.readouterr().err.splitlines() == [fault]
    assert not (tmp_path / "run").exists()
