"""timm's sets; tests/integration/test_real_data.py reads whole ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mcuformer.data.timm_reader import _labels, read_timm
from mcuformer.errors import DataError


def test_labels_are_known_before_a_picture_is_decoded(tmp_path: Path) -> None:
    """Of a folder of files that are no pictures, a label each; decoding is what fails."""
    for part in ("train", "validation"):
        for number, name in enumerate(("cat", "dog", "dog")):
            path = tmp_path / part / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no picture")
    parts = read_timm("", str(tmp_path))
    assert parts.train.labels.tolist() == [0, 1, 1]
    with pytest.raises(DataError, match=r"^picture 1 of  \(train\): not a readable image"):
        parts.train.read(1)


@pytest.mark.parametrize("name", ["targets", "labels", "_labels"])
def test_a_list_of_labels_is_taken_as_it_is(name: str) -> None:
    class Pictures(SimpleNamespace):
        def __len__(self) -> int:
            return 3

    assert _labels(Pictures(**{name: [2, 0, 1]})) == [2, 0, 1]
