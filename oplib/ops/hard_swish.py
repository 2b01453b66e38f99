"""The hard swish (MobileNetV3, Howard et al., 2019, section 5.2)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oplib.ops.base import Array
from oplib.ops.elementwise import Elementwise


class HardSwish(Elementwise):
    """The hard swish ``x min(max(x + 3, 0), 6) / 6``."""

    family: ClassVar[str] = "hard_swish"

    def real(self, x: Array) -> Array:
        result: Array = x * np.clip(x + 3.0, 0.0, 6.0) / 6.0
        return result
