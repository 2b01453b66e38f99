"""Folders are held by one process, replaced in one step, and cleared of what killed ones left."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.errors import ArtifactError
from mcuformer.run import folder
from mcuformer.run.artifact import write_bytes
from mcuformer.run.folder import UNFINISHED, locked, replacing_directory


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    held = tmp_path / "run"
    with (
        locked(held, wait=False),
        pytest.raises(ArtifactError, match="in use by another process"),
        locked(held, wait=False),
    ):
        pass
    with locked(held, wait=False):
        pass


def test_a_folder_is_left_only_if_something_is_in_it(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", wait=False, notes=["note"]):
        write_bytes(tmp_path / "a" / "b" / "note", b"")
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a" / "b", wait=True):
        write_bytes(tmp_path / "a" / "b" / "stages" / "x", b"")
    with locked(tmp_path / "a" / "b", wait=True):
        pass
    assert (tmp_path / "a" / "b" / "stages" / "x").exists()


def test_a_failed_replacement_leaves_the_old_folder(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_replacement_holds_only_the_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(folder, "exchange", lambda first, second: False)
    for name in ("old", "new"):
        with replacing_directory(tmp_path / "folder") as new:
            (new / name).write_text("")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_cleared_or_put_back(tmp_path: Path) -> None:
    (tmp_path / f"{UNFINISHED}abc").mkdir()
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / f"{UNFINISHED}def").write_text("")
    (tmp_path / f"{folder.REPLACED}firmware").mkdir()
    (tmp_path / f"{folder.REPLACED}firmware" / "model.c").write_text("")
    held_by_another = tmp_path / "points" / "p"
    held_by_another.mkdir(parents=True)
    (held_by_another / ".lock").touch()
    (held_by_another / f"{UNFINISHED}ghi").write_text("")
    with locked(tmp_path, wait=False):
        names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))
    assert names == [
        ".lock",
        "firmware",
        "firmware/model.c",
        "points",
        "points/p",
        "points/p/.lock",
        f"points/p/{UNFINISHED}ghi",
        "stages",
    ]
