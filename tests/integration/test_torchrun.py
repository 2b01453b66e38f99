"""The searches in two processes of torchrun: killed, resumed, and with bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import kill, run_two, start_two

from evolve.search import SEARCH
from evolve.space import SPACE as SPACE_SEARCH
from supernet.train import TRAIN

RECIPE = ["recipe.epochs=4", "recipe.warmup_epochs=1", "recipe.mixup=0.4"]
SPACE = [
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[4]",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
]
VISITS = [
    "space_search=random",
    "space_search.visit_epochs=2",
    "space_search.max_visits=2",
    "space_search.num_samples=8",
    "space_search.accuracy_subnets=3",
    "recipe.checkpoint_steps=5",
]
SUBNETS = ["strategy=random", "strategy.samples=8"]
OUTPUTS = ("search.jsonl", "subnet.json", "weights.safetensors")


def in_two(module: str, run_dir: Path, *more: str) -> list[str]:
    """Return what follows the interpreter on the command line of a process of two."""
    return ["-m", module, "threads=1", f"run_dir={run_dir}", *more]


def finish(line: list[str], *, fresh: bool = False) -> str:
    """Run a command in two processes to its end; return what the first one said."""
    result = run_two(line, fresh=fresh)
    assert result.returncode == 0, result.stderr
    return result.stderr


def in_the_second_visit(run_dir: Path) -> bool:
    points = list(run_dir.glob("points/*"))
    return len(points) == 2 and any(run_dir.glob("points/*/partial_*"))


def contents(run_dir: Path) -> dict[str, bytes]:
    """Return the search's files and all recovery points, without times and names of machines."""
    files = [run_dir / "space.json", run_dir / "space_search.jsonl"]
    files += run_dir.glob("points/*/epoch_*/*.safetensors")
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


def test_a_space_search_in_two_processes_is_killed_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same point, journal and weights as left alone; another number of processes is refused."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    line = [*SPACE, *VISITS, *RECIPE]
    said = finish(in_two("evolve.space", whole, *line), fresh=True)
    assert said.count("visit 2: ") == 1  # the first process speaks for all
    kill(start_two(in_two("evolve.space", killed, *line)), lambda: in_the_second_visit(killed))
    assert not (killed / "space.json").exists()
    finish(in_two("evolve.space", killed, *line))
    assert contents(killed) == contents(whole)
    assert len(contents(whole)) == 2 + 2 * 2
    (whole / "space.json").unlink()
    assert SPACE_SEARCH.main(["threads=1", f"run_dir={whole}", *line]) == 2
    fault = capsys.readouterr().err.splitlines()[-1]
    assert fault.startswith(f"error: {whole}/points/")
    assert "trained by another number of processes" in fault
    assert fault.endswith("(got 1, expected 2)")
    assert not (whole / "space.json").exists()


def test_a_search_in_two_processes_finds_what_one_finds(tmp_path: Path) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    assert TRAIN.main(["threads=1", f"run_dir={one}", *SPACE, *RECIPE]) == 0
    short = ["evaluator=finetuned", "evaluator.recipe.epochs=4", "evaluator.recipe.warmup_epochs=0"]
    line = [*SUBNETS, *short, f"supernet={one}"]
    assert SEARCH.main(["threads=1", f"run_dir={one}", *line]) == 0
    finish(in_two("evolve.search", both, *line), fresh=True)
    for name in OUTPUTS:
        assert (both / name).read_bytes() == (one / name).read_bytes()
    journal = (both / "search" / "journal.log").read_text()
    assert len({text.split(",")[0] for text in journal.split('"pid":')[1:]}) == 2


def test_workers_of_torchruns_processes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert SEARCH.main([f"run_dir={tmp_path / 'run'}", "workers=2"]) == 2
    error = "error: workers: the processes of torchrun are the workers (got 2, expected 1)"
    assert capsys.readouterr().err.splitlines() == [error]
    assert not list(tmp_path.iterdir())
