"""What is kept of the predictions: counts, the surest mistakes, small pictures; damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcuformer.errors import ArtifactError
from mcuformer.report.predictions import FILE, Predictions, predictions
from mcuformer.run.artifact import RunDir, load_arrays, save_arrays

LABELS = np.array([0, 1, 2, 2])
SHARES = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]])
FLOATS = np.array([[1.0, 0, 0], [0, 2, 0], [0, 3, 0], [0, 0, 4]])
IMAGES = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) * 4 * np.ones((1, 8, 8, 1), np.uint8)


@pytest.fixture
def kept() -> Predictions:
    return predictions(SHARES, FLOATS, LABELS, IMAGES, value_max=16)


def test_mistakes_come_first_the_surest_before_others(kept: Predictions) -> None:
    assert kept.wrong.tolist() == [False, True, True, False]
    assert kept.shown.tolist()[:2] == [2, 1]  # 80 % and 70 % sure
    assert sorted(kept.shown.tolist()[2:]) == [0, 3]
    assert kept.classes[2].tolist()[0] == 1
    assert kept.shares[2, 0] == pytest.approx(0.8)
    assert kept.float_classes.tolist() == [0, 1, 1, 2]
    assert kept.confusion(3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_pixels_reach_255_and_large_pictures_shrink(kept: Predictions) -> None:
    assert kept.pictures.shape == (4, 8, 8, 1)
    assert (kept.pictures[0] == round(8 * 255 / 16)).all()  # of image 2
    large = np.full((1, 200, 100, 3), 255, np.uint8)
    drawn = predictions(SHARES[:1], FLOATS[:1], LABELS[:1], large, value_max=255).pictures
    assert drawn.shape == (1, 96, 48, 3)
    assert (drawn == 255).all()


def test_they_are_read_as_they_were_written(kept: Predictions, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    kept.save(run)
    again = Predictions.load(run)
    for name, values in vars(kept).items():
        assert np.array_equal(values, getattr(again, name))


@pytest.mark.parametrize(
    ("name", "values"),
    [("labels", np.zeros(3, np.int32)), ("shown", np.array([9, 0, 0, 0])), ("more", np.zeros(1))],
)
def test_damage_is_told(kept: Predictions, tmp_path: Path, name: str, values: np.ndarray) -> None:
    run = RunDir(tmp_path)
    kept.save(run)
    save_arrays(run.file(FILE), {**load_arrays(run.file(FILE)), name: values})
    with pytest.raises(ArtifactError, match=r"predictions\.safetensors: damaged"):
        Predictions.load(run)
