"""The point that a space search chose, which later stages read from ``space.json``."""

from __future__ import annotations

from pathlib import Path

from mcuformer.run.artifact import parsing, read_json
from mcuformer.space import SpacePoint


def read_point(path: Path) -> SpacePoint:
    """Return the point in ``space.json``.

    Raises:
        ArtifactError: the file is missing or damaged.
        ConfigError: the point in it is wrong.
    """
    content = read_json(path, "space")
    with parsing(path):
        return SpacePoint.parse(content["point"], where=str(path))
