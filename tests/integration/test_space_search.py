"""The space search as a command: killed and continued, swept, shared between jobs, four axes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Command, Printed, kill, run

SMALL = [
    "data.steering_fraction=0.6",  # leaves 575 images to train on
    "threads=1",  # two jobs of two threads each would wait for each other on two cores
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[3,4]",
    "space_search.k=3",
    "space_search.initial_points=3",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
    "space.num_heads=[2,3]",  # few kinds of blocks, because each is planned anew
    "space.mlp_ratio=[2.0,3.0]",
    "space_search.visit_epochs=2",
    "space_search.max_visits=4",
    "space_search.num_samples=20",
    "space_search.accuracy_subnets=2",
    "recipe.epochs=4",
    "recipe.warmup_epochs=1",
    "recipe.checkpoint_steps=5",
]


def search(*more: str, fresh: bool = False) -> Printed:
    return run(["-m", "evolve.space", *SMALL, *more], fresh=fresh)


def read(run_dir: Path) -> tuple[dict, list[dict]]:
    lines = (run_dir / "space_search.jsonl").read_text().splitlines()
    return json.loads((run_dir / "space.json").read_text()), [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was left alone; tests only read it."""
    run_dir = tmp_path_factory.mktemp("space_search") / "whole"
    result = search(f"run_dir={run_dir}", fresh=True)
    assert result.returncode == 0, result.stderr
    return run_dir


def test_kill_and_continue(whole: Path, tmp_path: Path) -> None:
    """Killed in the middle of a visit, the search ends with the same path as one left alone."""
    killed = tmp_path / "killed"
    command = Command(["-m", "evolve.space", *SMALL, f"run_dir={killed}"])
    kill([command], lambda: any(killed.glob("points/*/partial_[0-9]*")))
    assert not (killed / "space.json").exists()
    assert search(f"run_dir={killed}").returncode == 0
    assert read(killed) == read(whole)
    picture = (whole / "space_search.png").read_bytes()
    assert picture == (killed / "space_search.png").read_bytes()
    fits = [visit["fit"] for visit in read(whole)[1] if visit["fit"]]
    for fit in fits:
        assert set(fit) == {"origin", "slopes", "intercept", "neighbours", "residual", "step"}


def test_a_sweep_shares_its_recovery_points(tmp_path: Path) -> None:
    more = ["hydra/launcher=submitit_local", f"run_dir={tmp_path}/sweep"]
    result = search("-m", "space_search.tau=0.5,1.0", *more)
    assert result.returncode == 0, result.stderr
    jobs = sorted((tmp_path / "sweep").glob("space_search*"))
    assert len(jobs) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]
    points = {visit["index"][0] * 10 + visit["index"][1] for job in jobs for visit in read(job)[1]}
    shared = [path for path in (tmp_path / "sweep" / "points").iterdir() if path.is_dir()]
    assert len(shared) == len(points)  # each point was trained in one place
    for path in shared:
        assert not list(path.glob("partial_*"))


def test_four_axes(tmp_path: Path) -> None:
    result = search(
        f"run_dir={tmp_path}/run",
        "space.mlp_rank_ratio=[0.25,0.5]",
        "space.img_size=[8,12]",
        "space_search.tau=[0.5,0.5,1.0,1.0]",
    )
    assert result.returncode == 0, result.stderr
    space, visits = read(tmp_path / "run")
    assert {len(visit["index"]) for visit in visits} == {4}
    assert space["point"]["img_size"] in (8, 12)
    assert space["point"]["mlp_rank_ratio"] in (0.25, 0.5)
    train = ["-m", "supernet.train", f"run_dir={tmp_path}/run"]
    shape = [
        "space.mlp_rank_ratio=[0.25,0.5]",
        "space.img_size=[8,12]",
    ]
    recipe = [item for item in SMALL if not item.startswith("space_search")]
    result = run([*train, *shape, *recipe])
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["space_search.k=5"], "space_search.k: the grid has fewer points than k"),
        (["space_search.tau=[1,1,1]"], "space_search.tau: needs one value per axis"),
        (["budget.sram_bytes=700"], "budget: no subnet of the space fits 700 bytes"),
        (["space.in_chans=3"], "data: data and network differ in (in_chans, num_classes)"),
        (["space_search=grid"], "Could not find 'space_search/grid'"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = search(f"run_dir={tmp_path}/run", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_foreign_recovery_point_is_refused(whole: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    for path in run_dir.glob("points/*"):
        for cached in path.glob("accuracy_*"):
            cached.unlink()
        state = path / "epoch_0002" / "state.json"
        state.write_text(state.read_text().replace('"task": "', '"task": "0'))
    result = search(f"run_dir={run_dir}", "overwrite=true")
    assert result.returncode == 2
    assert "checkpoint of another task" in result.stderr
