"""A command runs its stage once, and again if something it depends on has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.errors import ArtifactError
from mcuformer.run import artifact
from mcuformer.run.artifact import Stage
from mcuformer.run.command import Command, Settings


@pytest.fixture(autouse=True)
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return a record without revision and versions."""
    known = {"git_revision": "unknown", "versions": {}}
    monkeypatch.setattr(artifact, "provenance", lambda: known)


def copying(done: list[str]) -> Command[Settings]:
    """Return a command that copies `source` to `copy` in its run directory, and counts."""

    def stage(config: Settings) -> Stage:
        return Stage(command.name, config.content(), [config.run.file("source")], ("copy",))

    def run(config: Settings) -> None:
        done.append(config.run.file("source").read_text())
        config.run.file("copy").write_text(done[-1])

    command = Command("some.copy", Settings, stage, run)
    return command


def test_a_stage_runs_when_something_changed(tmp_path: Path) -> None:
    done: list[str] = []
    command, config = copying(done), Settings(run_dir=str(tmp_path))
    assert command.config_name == "some_copy"
    (tmp_path / "source").write_text("one")
    command.execute(config)
    command.execute(config)
    assert done == ["one"]
    (tmp_path / "source").write_text("two")
    command.execute(config)
    command.execute(config.model_copy(update={"threads": 3}))  # does not undo what is complete
    assert done == ["one", "two"]
    command.execute(config.model_copy(update={"seed": 1}))
    (tmp_path / "copy").write_text("damaged")
    command.execute(config.model_copy(update={"seed": 1}))
    assert done == ["one", "two", "two", "two"]
    command.execute(config.model_copy(update={"seed": 1, "overwrite": True}))
    assert len(done) == 5


def test_a_missing_input_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    done: list[str] = []
    run_dir = tmp_path / "run"
    for execute in (copying(done).execute, copying(done).execute_locked):
        with pytest.raises(ArtifactError, match=r"source: no such file; some\.copy reads it"):
            execute(Settings(run_dir=str(run_dir)))
    assert done == []
    assert not run_dir.exists()
