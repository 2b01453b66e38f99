from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import (
    RunDir,
    Stage,
    file_digest,
    load_arrays,
    read_json,
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
    with pytest.raises(ArtifactError, match=r"a\.json:1:12: damaged"):
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
    assert run.why_stale(stage) == "out is missing or changed since"
    run.file("out").unlink()
    assert run.why_stale(stage) == "out is missing or changed since"


def test_an_interrupted_stage_is_complete_only_if_it_changed_nothing(tmp_path: Path) -> None:
    run, stage = RunDir(tmp_path), Stage("work", {}, [], ["out"])
    run.run_stage(stage, lambda: run.file("out").write_text("1") and None)

    def interrupted(text: str) -> None:
        run.file("out").write_text(text)
        raise KeyboardInterrupt

    for text, reason in (("1", None), ("2", "out is missing or changed since")):
        with pytest.raises(KeyboardInterrupt):
            run.run_stage(stage, lambda text=text: interrupted(text))
        assert run.why_stale(stage) == reason


def test_a_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    run, stage = RunDir(tmp_path), Stage("work", {}, [], ["out", "folder"])

    def work() -> None:
        run.file("out").write_text("1")
        run.file("folder").mkdir(exist_ok=True)

    run.run_stage(stage, work)
    by_hand = run.file("by_hand")
    by_hand.write_text("no stage wrote it")
    run.refuse_changed([run.file("out"), run.file("folder"), by_hand])
    run.file("folder/more").write_text("")
    run.refuse_changed([run.file("out")])
    with pytest.raises(ArtifactError, match="folder: not as work left it; run that stage again"):
        run.refuse_changed([run.file("folder")])
    run.record_file("work").write_text("{")
    with pytest.raises(ArtifactError, match=r"work\.json:1:2: damaged"):
        run.refuse_changed([run.file("out")])


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, "space", {"x": 1})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"a\.json: cannot be written: No space left on device"):
        write_json(path, "space", {"x": 2})
    assert read_json(path, "space") == {"x": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_names_that_are_not_utf8_have_a_digest(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"x")
    before = file_digest(tmp_path)
    (tmp_path / os.fsdecode(b"\xff")).rename(tmp_path / os.fsdecode(b"\xfe"))
    assert file_digest(tmp_path) != before
