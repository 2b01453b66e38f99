"""Trainings start from a network of the zoo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evolve.finetune import FINETUNE
from mcuformer.run.artifact import load_arrays
from mcuformer.zoo_entry import MANIFEST, WEIGHTS, ZooEntry
from supernet.train import TRAIN

TINY = ["threads=1", "recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.lr=1e-7"]


@pytest.fixture(scope="module")
def entry() -> ZooEntry:
    return ZooEntry.named("zoo:digits")


def test_fine_tuning_goes_on_from_an_entry(entry: ZooEntry, tmp_path: Path) -> None:
    """With a learning rate of 1e-7 its weights stay."""
    line = [*TINY, "initial=zoo:digits", f"run_dir={tmp_path}"]
    assert FINETUNE.main(line) == 0
    trained = load_arrays(tmp_path / "model.safetensors")
    start = load_arrays(entry.file(WEIGHTS))
    assert trained.keys() == start.keys()
    moved = [np.abs(trained[name] - start[name].astype(np.float32)).max() for name in start]
    assert 0 < max(moved) < 1e-4
    record = json.loads((tmp_path / "stages" / "evolve.finetune.json").read_text())
    assert {str(entry.file(name)) for name in (WEIGHTS, MANIFEST)} <= set(record["inputs"])
    assert record["config"]["initial"] == "zoo:digits"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["initial=zoo:digit"], "no such network in the zoo; did you mean 'digits'?"),
        (["initial=own.safetensors"], "own.safetensors: no such file"),
        (["initial=zoo:digits", "data=npz", "data.root={npz}"], "data and network differ in"),
    ],
)
def test_what_cannot_start_is_refused(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 10
    npz = tmp_path / "x.npz"
    np.savez(npz, x_train=colour, y_train=labels, x_test=colour, y_test=labels)
    three = "[0.5,0.5,0.5]"
    if "data=npz" in more:
        more = [*more, "data.preprocessing.channel_order=RGB"]
        more += [f"data.preprocessing.{name}={three}" for name in ("mean", "std")]
    line = [text.format(npz=npz) for text in more]
    assert FINETUNE.main([*TINY, f"run_dir={tmp_path / 'run'}", *line]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("error: ") == 1
    assert not (tmp_path / "run").exists()


def test_a_supernet_starts_from_an_entry(
    entry: ZooEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One as large as the entry's network keeps its norm; a wider one is refused."""
    subnet = entry.manifest.subnet
    heads, ratio = (min(getattr(b, n) for b in subnet.blocks) for n in ("num_heads", "mlp_ratio"))
    point = ["point.rank_ratio=1.0", f"point.patch_size={subnet.patch_size}"]
    space = [
        f"space.embed_dim=[{subnet.embed_dim}]",
        f"space.depth=[{subnet.depth}]",
        f"space.num_heads=[{heads}]",
        f"space.head_dim={subnet.blocks[0].head_dim}",
        f"space.mlp_ratio=[{ratio}]",
        f"space.patch_size=[{subnet.patch_size}]",
    ]
    run = tmp_path / "run"
    line = [*TINY, *point, *space, "device=none", "initial=zoo:digits"]
    assert TRAIN.main([*line, f"run_dir={run}"]) == 0
    trained = load_arrays(run / "supernet.safetensors")["norm.weight"]
    start = load_arrays(entry.file(WEIGHTS))["norm.weight"].astype(np.float32)
    assert np.abs(trained - start).max() < 1e-4
    wider = f"space.embed_dim=[{subnet.embed_dim + 16}]"
    capsys.readouterr()
    assert TRAIN.main([*line, wider, f"run_dir={tmp_path / 'wider'}"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: initial: not as wide or deep as the supernet (got embed_dim")
    assert not (tmp_path / "wider").exists()
