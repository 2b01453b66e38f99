"""Paired differences over seeds, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student


def interval(groups: Sequence[npt.ArrayLike]) -> dict[str, float | None]:
    """Return the mean of paired differences and its 95 % interval by Student's t.

    Groups (settings that are compared alike) may have means of their own; what is estimated is the
    mean over these very groups. The variance within a group is taken as equal in all and pooled:
    with N differences in G groups it has N - G degrees of freedom. A bootstrap of three seeds has
    ten different means at most, and its intervals are too narrow.

    Args:
        groups: differences of each group, one per seed.

    Returns:
        ``mean``, ``low`` and ``high``; the last two are null where each group has one difference.
    """
    values = [np.asarray(group, dtype=float) for group in groups]
    count = sum(map(len, values))
    mean = float(np.concatenate(values).mean())
    freedom = count - len(values)
    if freedom == 0:
        return {"mean": mean, "low": None, "high": None}
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in values) / freedom
    half = float(student.ppf(0.975, freedom)) * (variance / count) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


def text(difference: Mapping[str, Any]) -> str:
    """Return a difference as text, with its interval if it has one."""
    mean, low, high = (difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.2f}" if low is None else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
