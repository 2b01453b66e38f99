"""A search reads its point from the supernet or, if that is joint, from the space search."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.searched_point import SearchedPoint
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import RunDir, write_json
from mcuformer.space import SearchSpace


def test_the_supernets_own_point_goes_before_the_space_searchs(
    digits_space: SearchSpace, tmp_path: Path
) -> None:
    run, (own, chosen) = RunDir(tmp_path), digits_space.points()[:2]
    content = {"space": digits_space.dump(), "point": own.dump()}
    write_json(run.file("space.json"), "space", {"point": chosen.dump()})
    write_json(run.file("supernet.json"), "supernet", content)
    assert SearchedPoint.of_run(run) == SearchedPoint(digits_space, own, joint=False)
    write_json(run.file("supernet.json"), "supernet", {**content, "point": None})
    assert SearchedPoint.of_run(run) == SearchedPoint(digits_space, chosen, joint=True)
    write_json(run.file("supernet.json"), "supernet", {"space": digits_space.dump()})
    with pytest.raises(ArtifactError, match=r"supernet\.json: damaged: KeyError\('point'\)"):
        SearchedPoint.of_run(run)
