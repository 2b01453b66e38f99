"""Where the points of a grid lie: by grid steps, or by what the choices amount to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from evolve.space_search.history import Index
from mcuformer.space import SearchSpace

Array = npt.NDArray[np.float64]
Scale = Literal["grid", "log"]
Amounts = tuple[tuple[float, ...], ...]


def amounts(space: SearchSpace) -> Amounts:
    """Return what the choices of each axis amount to: rank ratios, and numbers of tokens.

    The tokens of a patch size are those of the space's smallest image, and those of an image size
    are those of its smallest patch.
    """

    def tokens(img_size: int, patch_size: int) -> float:
        return float(math.ceil(img_size / patch_size) ** 2)

    image, patch = space.img_size[0], space.patch_size[0]
    by_axis: dict[str, tuple[float, ...]] = {
        **space.axes,
        "patch_size": tuple(tokens(image, choice) for choice in space.patch_size),
        "img_size": tuple(tokens(choice, patch) for choice in space.img_size),
    }
    return tuple(by_axis[name] for name in space.axes)


def located(indices: Sequence[Index], axes: Amounts, scale: Scale) -> Array:
    """Return grid points as coordinates (n, axes) in mean grid steps, from 0 on.

    Args:
        indices: grid indices of n points.
        axes: what the choices of each axis amount to; positive and monotonic.
        scale: ``grid`` counts steps; ``log`` spaces the choices by the logarithms of their amounts,
            over the same range.

    >>> located([(0,), (1,), (2,)], ((16.0, 8.0, 1.0),), "log").round(3).ravel().tolist()
    [0.0, 0.5, 2.0]
    """
    columns = []
    for choices, column in zip(axes, np.array(indices).T, strict=True):
        steps = np.arange(len(choices), dtype=np.float64)
        if scale != "grid":
            values = np.log(choices)
            steps = steps[-1] * np.abs((values - values[0]) / ((values[-1] - values[0]) or 1.0))
        columns.append(steps[column])
    return np.stack(columns, axis=1)
