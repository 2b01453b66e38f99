"""The digits are those that scikit-learn itself reads."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from mcuformer.data.digits_reader import read_digits


def test_the_digits_are_scikit_learns() -> None:
    expected, parts = load_digits(), read_digits()
    images, labels = parts.train.images[:], parts.train.labels
    assert (images.shape, images.dtype, labels.dtype) == ((1797, 8, 8, 1), np.uint8, np.int64)
    assert np.array_equal(images[..., 0], expected.images)
    assert np.array_equal(labels, expected.target)
    assert parts.class_names == tuple(str(name) for name in expected.target_names)
    assert (parts.validation, parts.test) == (None, None)
