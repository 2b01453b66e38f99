"""Temporary folders end with their process, killed or not, and no other process's is touched."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mcuformer.run.scratch import PREFIX, scratch


def test_folders_of_dead_processes_are_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "a.yaml").write_text("{}")
    (tmp_path / "other").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "other")
    with scratch("test") as alive:
        assert not dead.exists()
        with scratch("test") as second:
            assert alive.is_dir()  # its lock is held
            assert second != alive
        assert not second.exists()
    assert not alive.exists()
    assert (tmp_path / "other").is_dir()
