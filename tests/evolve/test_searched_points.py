"""A search reads its points from the supernet or, if that is joint, from the space search."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.searched_points import SearchedPoints
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import RunDir, write_json
from mcuformer.space import SearchSpace


def test_the_supernets_own_point_goes_before_the_space_searchs(
    digits_space: SearchSpace, tmp_path: Path
) -> None:
    run, (own, chosen) = RunDir(tmp_path), digits_space.points()[:2]
    content = {"space": digits_space.dump(), "point": own.dump()}
    write_json(run.file("space.json"), "space", {"point": chosen.dump()})
    write_json(run.file("supernet.json"), "supernet", content)
    assert SearchedPoints.of_run(run, "point") == SearchedPoints(digits_space, (own,), joint=False)
    write_json(run.file("supernet.json"), "supernet", {**content, "point": None})
    one = SearchedPoints(digits_space, (chosen,), joint=True)
    assert SearchedPoints.of_run(run, "point") == one
    write_json(run.file("supernet.json"), "supernet", {"space": digits_space.dump()})
    with pytest.raises(ArtifactError, match=r"supernet\.json: damaged: KeyError\('point'\)"):
        SearchedPoints.of_run(run, "point")


def test_all_axes_need_a_supernet_that_learned_them(
    digits_space: SearchSpace, tmp_path: Path
) -> None:
    """Without a space search; a supernet of one point holds the whole space only if it is one."""
    run, file = RunDir(tmp_path), RunDir(tmp_path).file("supernet.json")
    write_json(file, "supernet", {"space": digits_space.dump(), "point": None})
    found = SearchedPoints.of_run(run, "all")
    assert found == SearchedPoints(digits_space, digits_space.points(), joint=True)
    assert len(found.points) == 16
    own = digits_space.point_at((1, 0))
    write_json(file, "supernet", {"space": digits_space.dump(), "point": own.dump()})
    line = (
        r"^axes: the supernet was trained at r0\.50_p1 alone, not on rank_ratio, patch_size "
        r"\(got all, expected point, or a supernet trained with joint=true\)$"
    )
    with pytest.raises(ConfigError, match=line):
        SearchedPoints.of_run(run, "all")
    layers = SearchSpace.parse(digits_space.dump() | {"rank_per_layer": True, "patch_size": [4]})
    [point] = layers.points()
    write_json(file, "supernet", {"space": layers.dump(), "point": point.dump()})
    assert SearchedPoints.of_run(run, "all") == SearchedPoints.of_run(run, "point")
