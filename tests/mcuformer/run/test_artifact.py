from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import (
    RunDir,
    Stage,
    load_arrays,
    read_json,
    replacing_directory,
    save_arrays,
    write_json,
)


def test_json_round_trip_and_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, "space", {"x": 1})
    assert read_json(path, "space") == {"x": 1}
    with pytest.raises(ArtifactError, match="wrong kind"):
        read_json(path, "subnet")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format_version": 99}))
    with pytest.raises(ArtifactError, match=r"unsupported format version .got 99, expected 1"):
        read_json(path, "space")
    path.write_text('{"format": ')
    with pytest.raises(ArtifactError, match=r"a\.json: damaged"):
        read_json(path, "space")
    with pytest.raises(ArtifactError, match="no such file"):
        read_json(tmp_path / "b.json", "space")


def test_arrays_are_reproducible_and_damage_is_told(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.int8([1, -1])}
    save_arrays(tmp_path / "x.safetensors", arrays)
    save_arrays(tmp_path / "y.safetensors", dict(reversed(arrays.items())))
    data = (tmp_path / "x.safetensors").read_bytes()
    assert data == (tmp_path / "y.safetensors").read_bytes()
    assert np.array_equal(load_arrays(tmp_path / "x.safetensors")["b"], arrays["b"])
    (tmp_path / "x.safetensors").write_bytes(data[:40])
    with pytest.raises(ArtifactError, match=r"x\.safetensors: damaged"):
        load_arrays(tmp_path / "x.safetensors")


def test_a_failed_directory_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with replacing_directory(path) as new:
        (new / "a").write_text("old")

    def fail() -> None:
        with replacing_directory(path) as new:
            (new / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_stage_knows_when_it_must_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    source = tmp_path / "input"
    source.write_text("1")
    stage = Stage("copy", {"x": 1}, [source], ["out"])

    def copy() -> None:
        run.file("out").write_bytes(source.read_bytes())

    assert run.why_stale(stage) == "not run yet"
    run.run_stage(stage, copy)
    assert run.why_stale(stage) is None
    assert "changed" in str(run.why_stale(Stage("copy", {"x": 2}, [source], ["out"])))
    source.write_text("2")
    assert "changed" in str(run.why_stale(stage))
    run.run_stage(stage, copy)
    run.file("out").write_text("damaged")
    assert "out changed" in str(run.why_stale(stage))
    run.file("out").unlink()
    assert "missing" in str(run.why_stale(stage))


def test_an_interrupted_stage_is_not_complete(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    stage = Stage("work", {}, [], ["out"])
    run.run_stage(stage, lambda: run.file("out").write_text("1") and None)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run_stage(stage, interrupted)
    assert run.why_stale(stage) == "not run yet"


def test_a_run_directory_is_held_by_one(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with (
        run.locked(),
        pytest.raises(ArtifactError, match="in use by another process"),
        RunDir(tmp_path / "run").locked(),
    ):
        pass
    with run.locked():
        pass
