"""The rectified linear unit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oplib.ops.base import Array
from oplib.ops.elementwise import Elementwise


class Relu(Elementwise):
    """The rectified linear unit ``max(x, 0)``."""

    family: ClassVar[str] = "relu"

    def real(self, x: Array) -> Array:
        return np.maximum(x, 0.0)
