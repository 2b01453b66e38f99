"""The space points that a subnet search searches, as a run's files tell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcuformer.errors import ConfigError
from mcuformer.run.artifact import RunDir
from mcuformer.run.chosen_point import read_point
from mcuformer.space import SearchSpace, SpacePoint
from supernet.run_files import read_shape

Axes = Literal["point", "all"]


@dataclass(frozen=True)
class SearchedPoints:
    """The space points that are searched.

    Args:
        space: search space of the supernet.
        points: points whose subnets are searched.
        joint: whether the supernet holds all points of the space.
    """

    space: SearchSpace
    points: tuple[SpacePoint, ...]
    joint: bool

    @classmethod
    def of_run(cls, run: RunDir, axes: Axes) -> SearchedPoints:
        """Read the points from the supernet, or one from the space search's choice.

        Args:
            run: run directory with the supernet.
            axes: ``all`` for all points of the supernet; ``point`` for the supernet's own or, if it
                is joint, the one that the space search chose.

        Raises:
            ArtifactError: ``supernet.json`` or ``space.json`` is missing or damaged.
            ConfigError: a value in one of them is wrong, or the supernet has not learned all axes.
        """
        space, point = read_shape(run)
        if axes == "all":
            refuse_unlearned(space, point)
            return cls(space, space.points(), joint=point is None)
        if point is not None:
            return cls(space, (point,), joint=False)
        return cls(space, (read_point(run.file("space.json")),), joint=True)


def refuse_unlearned(space: SearchSpace, point: SpacePoint | None) -> None:
    """Refuse to search axes of a space that a supernet was not trained on.

    Args:
        space: search space of the supernet.
        point: outer point of the supernet, None if it is joint.

    Raises:
        ConfigError: the supernet is one point's, and the space has others.
    """
    unlearned = [name for name, choices in space.axes.items() if len(choices) > 1]
    if point is not None and unlearned:
        raise ConfigError(
            f"the supernet was trained at {point.name} alone, not on {', '.join(unlearned)}",
            where="axes",
            got="all",
            expected="point, or a supernet trained with joint=true",
        )
