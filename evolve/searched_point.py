"""The space point that a subnet search searches, as a run's files tell it."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.run.chosen_point import read_point
from mcuformer.space import SearchSpace, SpacePoint


@dataclass(frozen=True)
class SearchedPoint:
    """The space point that is searched.

    Args:
        space: search space of the supernet.
        point: point whose subnets are searched.
        joint: whether the supernet holds all points.
    """

    space: SearchSpace
    point: SpacePoint
    joint: bool

    @classmethod
    def of_run(cls, run: RunDir) -> SearchedPoint:
        """Read the point from the supernet or, if that is joint, from the space search's choice.

        Raises:
            ArtifactError: ``supernet.json`` or ``space.json`` is missing or damaged.
            ConfigError: a value in one of them is wrong.
        """
        supernet_file, space_file = run.file("supernet.json"), run.file("space.json")
        content = read_json(supernet_file, "supernet")
        with parsing(supernet_file):
            space = SearchSpace.parse(content["space"], where=str(supernet_file))
            if content["point"] is not None:
                point = SpacePoint.parse(content["point"], where=str(supernet_file))
                return cls(space, point, joint=False)
        return cls(space, read_point(space_file), joint=True)
