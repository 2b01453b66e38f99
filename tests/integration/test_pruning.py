"""A network that is pruned, in fine-tuning or in the search, has smaller matrices in firmware."""

from __future__ import annotations

import json
import shutil
from math import prod
from pathlib import Path

import pytest

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from mcuformer.run.artifact import read_value, write_json
from mcuformer.subnet import SubnetConfig
from oplib.export import EXPORT
from oplib.network.vit import weight_shapes
from supernet.train import TRAIN

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


SEARCHING = [
    "device=stm32f100",
    "threads=1",
    "evaluator=scratch",
    "evaluator.recipe.epochs=1",
    "strategy=random",
    "strategy.samples=3",
]
FEEDBACK = "evaluator.pruning={name: feedback, share: 0.6}"
OUTPUTS = ("search.jsonl", "subnet.json", "weights.safetensors")


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("pruning") / "run"
    space = ["space.embed_dim=[32]", "space.depth=[1,2]", "point.rank_ratio=1.0"]
    line = ["recipe.epochs=1", "recipe.warmup_epochs=0", "point.patch_size=4", "threads=1"]
    assert TRAIN.main([f"run_dir={run_dir}", *space, *line]) == 0
    return run_dir


@pytest.fixture(scope="module")
def searched(supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("searched") / "run"
    assert SEARCH.main([*SEARCHING, FEEDBACK, f"supernet={supernet}", f"run_dir={run_dir}"]) == 0
    return run_dir


def rows(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "search.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("host_tools")
def test_the_winner_of_a_search_is_the_pruned_network(searched: Path, tmp_path: Path) -> None:
    candidates = rows(searched)
    best = max(candidates, key=lambda row: row["accuracy_percent"])
    winner = read_value(searched / "subnet.json", "subnet", SubnetConfig)
    assert winner.dump() == best["subnet"]
    assert winner.num_params == best["pruned"]["parameters"]
    whole = SubnetConfig.parse(best["pruned"]["from"])
    assert winner.num_params <= 0.4 * whole.num_params
    run_dir = tmp_path / "run"
    shutil.copytree(searched, run_dir)
    line = [f"run_dir={run_dir}", "device=stm32f100", "export.source=search"]
    assert EXPORT.main(line) == 0
    content = json.loads((run_dir / "export.json").read_text())
    assert False not in content["bit_exact"].values()
    footprint = content["footprint"]
    assert footprint["weights_bytes"] + footprint["code_bytes"] == best["flash_bytes"]
    # an int8 matrix has a byte per weight
    lost = whole.num_params - winner.num_params
    assert footprint["weights_bytes"] < 1.5 * whole.num_params - lost


def test_workers_and_a_lost_folder_change_nothing(
    searched: Path, supernet: Path, tmp_path: Path
) -> None:
    two, again = tmp_path / "two", tmp_path / "again"
    line = [*SEARCHING, FEEDBACK, f"supernet={supernet}"]
    assert SEARCH.main([*line, "workers=2", f"run_dir={two}"]) == 0
    shutil.copytree(searched, again)
    (again / "subnet.json").unlink()
    for folder in (again / "search").glob("*/weights"):
        shutil.rmtree(folder)  # the winner is trained and pruned again
    assert SEARCH.main([*line, f"run_dir={again}"]) == 0
    for run_dir in (two, again):
        for name in OUTPUTS:
            assert (run_dir / name).read_bytes() == (searched / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["strategy=aging", "strategy.pruning_share=[0.1,0.5]"],
            "strategy.pruning_share: only pruning by feedback takes a share (got [0.1, 0.5], ",
        ),
        (
            ["evaluator.pruning={name: feedback, share: 0.98}"],
            "evaluator.pruning.share: this would leave a layer without heads",
        ),
        (
            ["evaluator.pruning={name: bayesian, groups: [rank]}"],
            "evaluator.pruning.groups: the network has no such groups",
        ),
        (
            ["evaluator=predictor", "evaluator.base.pruning={name: sparse}"],
            "evaluator.base.pruning: a predicted network is not pruned, so nobody knows its size",
        ),
    ],
)
def test_what_does_not_go_together(
    changes: list[str],
    message: str,
    supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    line = [*SEARCHING[:3], f"supernet={supernet}", f"run_dir={run_dir}", *changes]
    assert SEARCH.main(line) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {message}")
    assert not (run_dir / "search").exists()
