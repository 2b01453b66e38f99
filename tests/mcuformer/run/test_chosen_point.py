from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import write_json
from mcuformer.run.chosen_point import read_point
from mcuformer.space import SpacePoint


def test_the_point_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    write_json(path, "space", {"point": {"rank_ratio": 0.5, "patch_size": 2}, "visits": 3})
    assert read_point(path) == SpacePoint(rank_ratio=0.5, patch_size=2)
    write_json(path, "space", {"visits": 3})
    with pytest.raises(ArtifactError, match=r"space\.json: damaged: KeyError\('point'\)"):
        read_point(path)
    write_json(path, "space", {"point": {"rank_ratio": 2.0, "patch_size": 2}})
    with pytest.raises(ConfigError, match=r"space\.json: rank_ratio"):
        read_point(path)
