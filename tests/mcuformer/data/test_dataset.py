from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mcuformer.data.dataset import DataConfig, Survey, load
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError

Build = Callable[..., DataConfig]


def test_digits_are_split_once_and_for_all(digits_config: DataConfig) -> None:
    data = load(digits_config)
    assert (len(data.train), len(data.steering), len(data.test)) == (1151, 287, 359)
    rows = [part.images.reshape(len(part), -1) for part in (data.train, data.steering, data.test)]
    assert sum(row.astype(np.int64).sum() for row in rows) == 561718  # of all 1797 images
    again = load(digits_config)
    assert np.array_equal(data.test.images, again.test.images)
    counts = np.bincount(data.test.labels)
    assert counts.min() >= 34


def test_a_survey_counts_what_is_loaded(
    digits_config: DataConfig, tmp_path: Path, colour: Preprocessing, data_config: Build
) -> None:
    found = digits_config.survey()
    assert (found.train, found.steering, found.test) == (1151, 287, 359)
    assert not found.published_test
    for part, count in (("train", 10), ("val", 3), ("test", 4)):
        for name in ("ant", "bee"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(b"never decoded")
            (folder / "x.tif").write_bytes(b"")
    config = data_config("image_folder", tmp_path / "set", colour, num_classes=2)
    assert config.survey() == Survey(("ant", "bee"), 20, 6, 8, True, {".tif": 6})
    with pytest.raises(DataError, match=r"data\.num_classes: wrong number of classes"):
        config.model_copy(update={"num_classes": 3}).survey()
    with pytest.raises(DataError, match="images of another size"):
        digits_config.at_size(9).survey()


def test_pixels_beyond_the_range(digits_config: DataConfig) -> None:
    low = digits_config.preprocessing.model_copy(update={"value_max": 15})
    with pytest.raises(DataError, match=r"pixel beyond value_max .got 16"):
        load(digits_config.model_copy(update={"preprocessing": low}))


def test_an_unknown_home(colour: Preprocessing, data_config: Build) -> None:
    with pytest.raises(ValidationError, match="no home directory of this name"):
        data_config("npz", Path("~nobody-of-this-name/x"), colour)
