"""Reader of the digits that scikit-learn brings along."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mcuformer.data.images import Parts, Split

CLASSES = 10


def read_digits() -> Parts:
    """Read scikit-learn's bundled digits: 1,797 images of 8 x 8 pixels from 0 to 16.

    Its file is read directly: importing scikit-learn takes a second, this a fiftieth of that.

    Raises:
        OSError: the file is missing.
    """
    package = find_spec("sklearn")
    assert package is not None  # a dependency
    assert package.origin is not None
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt") as file:  # a row: 64 pixels and the label
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    split = Split(table[:, :-1].reshape(-1, 8, 8, 1), table[:, -1].astype(np.int64))
    return Parts(split, None, None, tuple(map(str, range(CLASSES))))
