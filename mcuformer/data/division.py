"""The division of a set's training part where it has no steering or test part of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcuformer.data.images import Labels
from mcuformer.errors import DataError
from mcuformer.seed import stream

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Positions in the published training part.

    Args:
        train: what remains.
        steering: what is held out to steer searches; empty if the set has a validation part.
        test: what is held out for tests; empty if the set has a test part.
    """

    train: Indices
    steering: Indices
    test: Indices


def divide(labels: Labels, steering: float | None, test: float | None, seed: int) -> Division:
    """Hold out shares of every class of the training part, at least one image each.

    Args:
        labels: class numbers of the training part, (B,).
        steering: share for the steering split, of what the test split leaves; None holds out none.
        test: share for the test split; None holds out none.
        seed: seed of the choice.
    """
    everything = np.arange(len(labels))
    train, tests = _hold_out(labels, everything, test, ("test", 1 + (steering is not None)), seed)
    train, steers = _hold_out(labels, train, steering, ("steering", 1), seed)
    return Division(train, steers, tests)


def _hold_out(
    labels: Labels, chosen: Indices, fraction: float | None, rule: tuple[str, int], seed: int
) -> tuple[Indices, Indices]:
    """Return the positions that remain of `chosen`, and those held out.

    Args:
        labels: class numbers, (B,).
        chosen: positions to divide.
        fraction: share of every class to hold out; None is none.
        rule: name of the split, and how many images of every class must remain.
        seed: seed of the choice.
    """
    if fraction is None:
        return chosen, np.empty(0, np.int64)
    name, remaining = rule
    rng = stream(seed, "split", name)
    by_class = []
    for label in np.unique(labels[chosen]):
        members = rng.permutation(np.flatnonzero(labels[chosen] == label))
        count = min(max(1, round(fraction * len(members))), len(members) - remaining)
        by_class.append(members[:count])
    held_out = np.sort(np.concatenate(by_class))
    return np.delete(chosen, held_out), chosen[held_out]


def check_labels(labels: Labels, class_names: Sequence[str], part: str, needed: int) -> None:
    """Refuse labels that are no class's number, and a class with too few images.

    Args:
        labels: class numbers, (B,).
        class_names: name of each class.
        part: name of the part, for the message.
        needed: smallest number of images of a class.

    Raises:
        DataError: naming the class and the part.
    """
    if len(labels) == 0:
        raise DataError(f"the {part} part is empty", where="data")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            "label out of range",
            where="data",
            got=f"{labels.min()} to {labels.max()}",
            expected=f"0 to {len(class_names) - 1}",
        )
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() < needed:
        raise DataError(
            f"class {class_names[int(counts.argmin())]!r} has too few images in the {part} part",
            where="data",
            got=int(counts.min()),
            expected=f"at least {needed}",
        )
