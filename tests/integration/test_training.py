"""Training as a user runs it: killed, resumed, in two processes, with bad input."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from commands import Command, kill, run, run_two, start_two
from safetensors.torch import load_file

from supernet.train import TRAIN

SMALL = [
    "point.rank_ratio=0.5",
    "point.patch_size=4",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
    "recipe.epochs=4",
    "recipe.warmup_epochs=1",
    "recipe.checkpoint_steps=1",
    "recipe.mixup=0.4",
    "sampling=sandwich",
    "device=stm32f100",
    "threads=1",
]
TRAINING = ["-m", "supernet.train", *SMALL]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2", *TRAINING]


def steps_done(run_dir: Path) -> int:
    """Return the number of steps after which the last recovery point was written."""
    return max((int(path.name[-8:]) for path in run_dir.glob("points/*/partial_*")), default=0)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "supernet.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("training") / "whole"
    result = run([*TRAINING, f"run_dir={run_dir}"], fresh=True)
    assert result.returncode == 0, result.stderr
    assert "epoch 4/4, loss " in result.stderr
    assert all(f"{name} " in result.stderr for name in ("smallest", "median", "largest", "random"))
    return run_dir


def test_killed_in_an_epoch_and_resumed(whole: Path, tmp_path: Path) -> None:
    line = [*TRAINING, f"run_dir={tmp_path}"]
    kill([Command(line)], lambda: steps_done(tmp_path) >= 23)  # an epoch has 17 steps
    result = run(line)
    assert result.returncode == 0, result.stderr
    expected = weights(whole)
    assert all(torch.equal(tensor, expected[n]) for n, tensor in weights(tmp_path).items())


def test_two_processes_train_and_resume(whole: Path, tmp_path: Path) -> None:
    """Two processes, killed and resumed, end alike; one process continues and says so."""
    result = run([*TORCHRUN, f"run_dir={tmp_path / 'whole'}"], fresh=True)
    assert result.returncode == 0, result.stderr
    killed = tmp_path / "killed"
    line = [*TRAINING, f"run_dir={killed}"]
    kill(start_two(line), lambda: steps_done(killed) >= 23)
    shutil.copytree(killed, tmp_path / "alone")
    result = run_two(line)
    assert result.returncode == 0, result.stderr
    expected = weights(tmp_path / "whole")
    found = weights(killed)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    # mixup draws in each process, so the weights differ a little more than by rounding
    alone = weights(whole)
    distance = max(float((tensor - alone[name]).abs().mean()) for name, tensor in expected.items())
    assert 0 < distance < 0.05
    result = run([*TRAINING, f"run_dir={tmp_path / 'alone'}"])
    assert result.returncode == 0, result.stderr
    assert "resumed in order, but not bit for bit (processes 2 -> 1)" in result.stderr


def test_a_batch_that_two_processes_cannot_share(tmp_path: Path) -> None:
    result = run_two([*TRAINING, f"run_dir={tmp_path / 'run'}", "recipe.batch_size=33"])
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "recipe.batch_size: the batch cannot be shared evenly by the processes" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["device=none", "sampling=budget_aware"], "device: sampling=budget_aware needs"),
        (["budget.flash_bytes=9000"], "space: none of 514 subnets fits"),
        (["data=mnist", "data.root=absent"], "data.root: a file of the data set not found"),
        (["space.img_size=[8,12]"], "point.img_size: not a choice"),
        (["trackers=[nonsense]"], "trackers: accelerate has no such tracker"),
        (["initial=absent.safetensors"], "absent.safetensors: no such file"),
        (["joint=true"], "point: a joint supernet has no point of its own"),
        (["recipe.rand_augment=nonsense"], "recipe.rand_augment: not a RandAugment of timm's"),
        (["recipe.batch_size=33"], "recipe.batch_size: mixing pairs the images"),
        (["recipe.scheduler=nonsense"], "recipe.scheduler: Input should be 'cosine'"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line = [*SMALL, f"run_dir={tmp_path / 'run'}", *arguments]
    assert TRAIN.main(command_line) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.glob("run/points/*/epoch_*"))


def test_a_batch_larger_than_the_set_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert TRAIN.main([*SMALL, f"run_dir={tmp_path / 'run'}", "recipe.batch_size=2000"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    fault = "error: recipe.batch_size: a batch is larger than the set that is trained on"
    assert line.startswith(fault)
    assert not (tmp_path / "run").exists()
