"""Accuracies that are kept in files as soon as they are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mcuformer.run.artifact import parsing, read_json, write_json

KIND = "accuracy"


def recorded(path: Path, measure: Callable[[], float]) -> float:
    """Return the accuracy in percent that a file holds; if there is none yet, measure and write it.

    Raises:
        ArtifactError: the file is damaged.
    """
    if not path.exists():
        write_json(path, KIND, {"accuracy_percent": measure()})
    content = read_json(path, KIND)
    with parsing(path):
        return float(content["accuracy_percent"])
