"""A measurement of this machine takes the real training loop, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace
from supernet import speed
from supernet.recipe import Recipe
from supernet.sampling import UniformSampling
from supernet.task import SupernetSetting


def test_seconds_are_measured(
    digits_space: SearchSpace,
    preprocessing: Preprocessing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch's own folder, which the first training of a process makes
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path.parent / "inductor"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    recipe = load("recipe", "supernet", Recipe, epochs=10, warmup_epochs=1, batch_size=8)
    setting = SupernetSetting(recipe, UniformSampling(name="uniform"), 0, tmp_path / "points")
    point = digits_space.points()[-1]
    subnet = digits_space.smallest(point)
    for seconds in (
        speed.supernet_step_seconds(digits_space, point, preprocessing, setting),
        speed.supernet_step_seconds(digits_space, None, preprocessing, setting),
        speed.network_step_seconds(subnet, preprocessing, recipe, seed=0),
        speed.evaluation_seconds(digits_space, point, preprocessing),
    ):
        assert 0.0 < seconds < 10.0
    assert list(tmp_path.iterdir()) == []


def test_made_up_images_are_in_range(preprocessing: Preprocessing) -> None:
    data = speed.made_up(preprocessing, num_classes=3, num_images=40)
    images = data.train.images[:]
    assert images.shape == (40, 8, 8, 1)
    assert (images.min(), images.max()) == (0, preprocessing.value_max)
    assert set(data.train.labels) == {0, 1, 2}
