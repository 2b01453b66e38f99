"""The trained supernet of a run, as ``supernet.train`` wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.space import SearchSpace, SpacePoint

if TYPE_CHECKING:
    from supernet.model import Supernet


def supernet_files(run: RunDir) -> tuple[Path, Path]:
    """Return the files of a run's supernet: its shape and its weights."""
    return run.file("supernet.json"), run.file("supernet.safetensors")


def read_shape(run: RunDir) -> tuple[SearchSpace, SpacePoint | None]:
    """Return the space of a run's supernet and its point, which is None if it is joint.

    Raises:
        ArtifactError: ``supernet.json`` is missing or damaged.
        ConfigError: a value in it is wrong.
    """
    path, _ = supernet_files(run)
    content = read_json(path, "supernet")
    with parsing(path):
        space = SearchSpace.parse(content["space"], where=str(path))
        point = content["point"]
        return space, None if point is None else SpacePoint.parse(point, where=str(path))


def load_supernet(run: RunDir, preprocessing: Preprocessing) -> Supernet:
    """Load a run's trained supernet, on the CPU.

    Args:
        run: run directory with the supernet.
        preprocessing: that of the images; it gives the padding pixel.

    Raises:
        ArtifactError: a file is missing or damaged, or holds the weights of another network.
    """
    from supernet.checkpoint import load_model
    from supernet.data import pad_value
    from supernet.model import Supernet

    space, point = read_shape(run)
    supernet = Supernet(space, point, pad_value(preprocessing))
    load_model(supernet, supernet_files(run)[1])
    return supernet
