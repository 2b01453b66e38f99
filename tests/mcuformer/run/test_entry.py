"""Bad input ends in one clear line and exit code 2; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.chain import ChainConfig
from mcuformer.run import entry
from supernet.train import TrainConfig


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail on validation and return what it printed."""
    code = entry.run("evolve_space", EvolveSpaceConfig, lambda config: None, arguments)
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("recipe.epoch=3", "recipe.epoch"),
        ("recipe.epochs=many", "recipe.epochs: Input should be a valid integer (got 'many')"),
        ("recipe.epochs=true", "recipe.epochs: Input should be a valid integer (got True)"),
        ("recipe.lr=-1", "recipe.lr: out of range (got -1, expected more than 0.0)"),
        ("recipe.lr=.nan", "recipe.lr"),
        ("space.rank_ratio=[0.5,0.25]", "space.rank_ratio: choices must ascend"),
        (
            "space_search.tau=[1,-2]",
            "space_search.tau.1: out of range (got -2, expected more than 0.0)",
        ),
        ("device=stm32f999", "Could not find 'device/stm32f999'"),
        ("device=./absent.yaml", "device: no such file (got ./absent.yaml)"),
        ("data.format=imagenet", "data.format"),
        ("--epochs=3", "unknown flag"),
        ("recipe.epochs", "recipe.epochs"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], argument: str, message: str) -> None:
    assert message in call(capsys, argument)


def test_a_board_of_ones_own(tmp_path: Path, root: Path) -> None:
    text = (
        (root / "conf/device/stm32f405.yaml").read_text().replace("name: stm32f405", "name: mine")
    )
    board = tmp_path / "my_board.yaml"
    board.write_text(text)
    found = []
    assert entry.run("evolve_space", EvolveSpaceConfig, found.append, [f"device={board}"]) == 0
    assert found[0].device.name == "mine"
    board.write_text(text.replace("cortex-m4", "cortex-m9"))
    assert entry.run("evolve_space", EvolveSpaceConfig, found.append, [f"device={board}"]) == 2


def test_multirun_gives_every_job_its_directory(tmp_path: Path) -> None:
    found = []
    arguments = ["seed=1,2", "-m", f"run_dir={tmp_path}/x"]
    assert entry.run("supernet_train", TrainConfig, found.append, arguments) == 0
    assert [config.run_dir for config in found] == [f"{tmp_path}/x/seed={n}" for n in (1, 2)]


def test_an_experiment_brings_its_sweep_along(tmp_path: Path) -> None:
    """Its values are swept with those of the command line, which win; jobs know its name."""
    found = []
    arguments = ["-m", "+experiment=ablation_k", "space_search.k=9", f"run_dir={tmp_path}/x"]
    assert entry.run("mcuformer", ChainConfig, found.append, arguments) == 0
    assert [(config.space_search.name, config.space_search.k) for config in found] == [
        ("trend", 9),
        ("trend", 9),
        ("trend_paper", 9),
        ("trend_paper", 9),
    ]
    assert found[1].run_dir == f"{tmp_path}/x/space_search=trend,space_search.k=9,seed=1"
    assert found[1].experiment == "ablation_k"


def test_the_name_of_an_experiment(tmp_path: Path) -> None:
    """A data set that stands for an experiment gives its name as well."""
    (tmp_path / "mine.yaml").write_text("seed: 4\n")
    photos = ["data=image_folder", "data.root=x", "data.img_size=96", "data.num_classes=5"]
    found = []
    for line in (["+experiment=demo"], [f"+experiment={tmp_path}/mine.yaml"], [], photos):
        assert entry.run("mcuformer", ChainConfig, found.append, line) == 0
    assert [config.experiment for config in found] == ["demo", "mine", None, "photos"]


def test_a_refused_sweep_leaves_no_folder(tmp_path: Path) -> None:
    arguments = ["seed=1,-1", "-m", f"run_dir={tmp_path}/x", "recipe.lr=-1"]
    assert entry.run("supernet_train", TrainConfig, lambda config: None, arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_interrupts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(config: TrainConfig) -> None:
        raise KeyboardInterrupt

    assert entry.run("supernet_train", TrainConfig, interrupted, []) == 130
    assert "run the same command again" in capsys.readouterr().err
