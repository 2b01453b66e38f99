"""The entries of the zoo are whole, small, and what their manifests say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mcuformer import inspection, zoo_entry
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import load_arrays, save_arrays
from mcuformer.zoo_entry import (
    FILES,
    MANIFEST,
    MAX_IMAGE_BYTES,
    MAX_ZOO_BYTES,
    TEST_IMAGES,
    WEIGHTS,
    ZooEntry,
    entries,
    initial_files,
)
from oplib.network.model_file import load_model
from oplib.network.reference import run_integer
from oplib.network.vit import weight_shapes

ENTRIES = {entry.name: entry for entry in entries()}


def test_the_zoo_is_small() -> None:
    assert "digits" in ENTRIES
    assert sum(entry.size_bytes for entry in ENTRIES.values()) <= MAX_ZOO_BYTES


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_what_its_manifest_says(name: str) -> None:
    entry = ZooEntry.named(f"zoo:{name}")
    made = entry.manifest
    assert {path.name for path in entry.folder.iterdir()} == {MANIFEST, *FILES}  # nothing pickled
    saved = load_model(entry.folder)
    assert saved.class_names == made.class_names
    assert saved.subnet.merged == made.subnet.merged
    assert saved.integer.preprocessing == made.preprocessing
    weights = load_arrays(entry.file(WEIGHTS))
    assert {key: array.shape for key, array in weights.items()} == weight_shapes(made.subnet)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float16)}
    images, labels = entry.test_images()
    assert images.nbytes <= MAX_IMAGE_BYTES
    assert made.accuracy_percent["int8"] > 60
    assert "mcuformer" in made.command
    if len(images):
        right = run_integer(saved.integer, images).argmax(axis=1) == labels
        assert right.mean() >= 0.5  # below the entry's accuracy by more than chance allows


def test_unknown_names_are_refused_and_all_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    inspection.list_zoo()
    assert "zoo:digits" in capsys.readouterr().out
    for name, hint in (("digit", r"; did you mean 'digits'\?"), ("", ""), ("../conf", "")):
        with pytest.raises(ConfigError, match=rf"no such network in the zoo{hint} \(got 'zoo:"):
            initial_files(f"zoo:{name}")
    own = tmp_path / "own.safetensors"
    save_arrays(own, {"head.bias": np.zeros(10, np.float32)})
    assert initial_files(str(own)) == [own]
    own.write_text("none")
    with pytest.raises(ArtifactError, match=r"own.safetensors: damaged"):
        initial_files(str(own))


@pytest.mark.parametrize("name", FILES)
def test_damage_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ENTRIES["digits"].folder, tmp_path / "digits")
    monkeypatch.setattr(zoo_entry, "shipped_folder", lambda *_: tmp_path)
    assert initial_files("zoo:digits")[0] == tmp_path / "digits" / WEIGHTS
    path = tmp_path / "digits" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=rf"{name}: not as its manifest has it"):
        initial_files("zoo:digits")
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: no such file"):
        initial_files("zoo:digits")


def test_a_manifest_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ENTRIES["digits"].folder, tmp_path / "digits")
    monkeypatch.setattr(zoo_entry, "shipped_folder", lambda *_: tmp_path)
    manifest = tmp_path / "digits" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ArtifactError, match=r"manifest\.json: unsupported format version"):
        initial_files("zoo:digits")
    assert TEST_IMAGES in FILES
