"""A table of a space's grid: replayed by hand, written by training, and refused when damaged."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from evolve.space_search.random_points import RandomConfig
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import read_json, write_json

DATA = Path(__file__).resolve().parents[1] / "data"
SPACE = {
    "img_size": [8],
    "in_chans": 1,
    "num_classes": 10,
    "rank_ratio": [0.5, 1.0],
    "patch_size": [2, 4],
    "embed_dim": [32],
    "depth": [1],
    "num_heads": [2],
    "mlp_ratio": [2.0],
}
# accuracy after one and after two visits, by grid index and seed; nothing fits at (1, 1)
ACCURACY: dict[tuple[int, int], list[list[float]]] = {
    (0, 0): [[50.0, 60.0], [52.0, 70.0]],
    (0, 1): [[60.0, 62.0], [40.0, 58.0]],
    (1, 0): [[30.0, 80.0], [30.0, 81.0]],
    (1, 1): [[], []],
}
RHO = {(0, 0): 0.5, (0, 1): 1.0, (1, 0): 0.1, (1, 1): 0.0}


@pytest.fixture
def tool(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module


def hand_made() -> dict[str, Any]:
    rows = [
        {
            "index": list(index),
            "seed": seed,
            "admitted_fraction": RHO[index],
            "accuracy_percent": accuracy,
            "sram_bytes": 100.0 if accuracy else None,
            "macs_deciles": list(range(11)) if accuracy else [],
        }
        for index, by_seed in ACCURACY.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return {
        "space": SPACE,
        "settings": {},
        "visit_epochs": 5,
        "visits": 2,
        "seeds": [0, 1],
        "rows": rows,
    }


def test_a_table_is_replayed(tool, tmp_path: Path) -> None:
    write_json(tmp_path / "table.json", "space_table", hand_made())
    table = tool("space_table").read_table(tmp_path / "table.json")
    truth = table.truth(10.0)
    assert truth[:, 0] == pytest.approx([65.0 + 5.0, 80.5 + 1.0])
    assert truth[0, 1] == pytest.approx(60.0 + 10.0)
    assert np.isnan(truth[1, 1])
    seen = set()
    for seed in range(20):
        landscape = tool("replay_landscape").TableLandscape(table, seed, 10.0)
        scores = {index: [landscape.visit(index, "").score for _ in range(3)] for index in RHO}
        for index, by_visit in scores.items():  # the table's longest training is not exceeded
            expected = [
                [a + 10 * RHO[index], b + 10 * RHO[index], b + 10 * RHO[index]]
                for a, b in filter(None, ACCURACY[index])
            ]
            assert by_visit in (expected or [[None] * 3])
        seen.add((scores[0, 0][0], scores[0, 1][0]))
        assert landscape.history.visits[1].epochs == 10
        assert landscape.regret((0, 0)) == pytest.approx(11.5)
        assert landscape.regret((1, 1)) == pytest.approx(11.5)  # as bad as the worst
    assert len(seen) == 4  # the trainings of two points are drawn independently
    longer = tool("replay_landscape").TableLandscape(table, 0, 0.0, length=2)
    assert longer.visit((0, 1), "").score in (62.0, 58.0)


def test_a_selector_on_a_table(tool, tmp_path: Path) -> None:
    """By one visit each, (0, 1) with 60 + 10 or 40 + 10 leads or trails (0, 0)."""
    write_json(tmp_path / "table.json", "space_table", hand_made())
    table = tool("space_table").read_table(tmp_path / "table.json")
    for seed in range(10):
        landscape = tool("replay_landscape").TableLandscape(table, seed, 10.0)
        leads = landscape.rows[0, 1].seed == 0
        chosen = RandomConfig(max_visits=4, visit_epochs=5).select(
            landscape, np.random.default_rng(seed)
        )
        assert chosen == ((0, 1) if leads else (0, 0))


def outside(content: dict[str, Any]) -> None:
    content["rows"][0]["index"] = [0, 2]


def missing(content: dict[str, Any]) -> None:
    del content["rows"][3]


def twice(content: dict[str, Any]) -> None:
    content["rows"][3] = content["rows"][2]


def short(content: dict[str, Any]) -> None:
    content["rows"][2]["accuracy_percent"] = [60.0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (outside, r"not of the space's grid \(got index \[0, 2\], seed 0, expected a grid of 2x2"),
        (missing, r"not finished \(got 7 rows, expected 8: 4 points, 2 seeds\)"),
        (twice, r"a point is in it twice"),
        (short, r"not finished \(got 1 accuracies at index \[0, 1\], expected 2\)"),
    ],
)
def test_a_table_that_does_not_match_its_space(
    tool, tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = hand_made()
    damage(content)
    write_json(tmp_path / "table.json", "space_table", content)
    with pytest.raises(ArtifactError, match=rf"table\.json: .*{message}"):
        tool("space_table").read_table(tmp_path / "table.json")


@pytest.mark.parametrize("path", sorted(DATA.glob("space_table_*.json")), ids=lambda p: p.stem)
def test_the_measured_tables_match_their_spaces(tool, path: Path) -> None:
    table = tool("space_table").read_table(path)
    assert len(table.space.points()) >= 48
    truth = table.truth(10.0)
    assert np.nanmax(truth) - np.nanmin(truth) > 1.0


def test_a_table_is_trained_once(tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is missing is measured again, equal to before; other settings are refused."""
    space = {key: SPACE[key] for key in ("rank_ratio", "patch_size", "embed_dim", "depth")}
    small = [f"space.{key}={json.dumps(value).replace(' ', '')}" for key, value in space.items()]
    small += ["threads=1", "space_search=random", "space_search.num_samples=8", "device=stm32f100"]
    small += ["space_search.visit_epochs=1", "space_search.accuracy_subnets=2", "recipe.epochs=9"]
    options = argparse.Namespace(
        overrides=small,
        seeds=1,
        visits=2,
        train_images=200,
        out=tmp_path,
        table=tmp_path / "t.json",
    )
    tabulate = tool("tabulate_space").tabulate
    tabulate(options)
    whole = read_json(options.table, "space_table")
    assert [row["index"] for row in whole["rows"]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert tool("space_table").read_table(options.table).visits == 2
    cut = {**whole, "rows": whole["rows"][:3]}
    write_json(options.table, "space_table", cut)
    tabulate(options)
    assert read_json(options.table, "space_table") == whole
    options.train_images = 100
    with pytest.raises(ConfigError, match=r"t\.json: begun with other settings"):
        tabulate(options)
