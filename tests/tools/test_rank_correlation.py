"""Statistics of rankings by hand, and the tool on a few digits."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import commands
import numpy as np
import pytest
from scipy.stats import kendalltau


@pytest.fixture
def statistics(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("rank_statistics")


def test_tau_by_hand(statistics) -> None:
    """Of six pairs, one is discordant: (5 - 1) / 6; the mean with a reversed row is 0."""
    truth = np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0]])
    row, once = np.array([1.0, 3.0, 2.0, 4.0]), np.ones((1, 4))
    assert statistics.mean_tau(row[None], truth, once) == pytest.approx(4 / 6)
    assert statistics.mean_tau(np.array([row, -row]), truth, once) == pytest.approx(0.0)
    three = np.array([truth[0], row, row])
    assert statistics.ceiling(three, once) == pytest.approx((4 + 4 + 6) / 18)
    assert statistics.weighted_tau(np.ones(4), row, once) == 0.0


def test_a_resample_is_a_set_with_repeats(statistics) -> None:
    """scipy's tau-b of the repeated entries, with ties in both rows."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(6, size=(2, 12)).astype(float)
    draws = rng.integers(12, size=(20, 12))
    weights = np.array([np.bincount(draw, minlength=12) for draw in draws], dtype=float)
    expected = [kendalltau(one[draw], other[draw]).statistic for draw in draws]
    assert statistics.weighted_tau(one, other, weights) == pytest.approx(expected)


def test_intervals_and_the_rule_of_the_default(statistics) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 30)) * 0.01 + np.arange(30)
    scores = {
        "macs": rng.normal(size=(1, 30)),
        "inherited_uniform": rng.normal(size=(3, 30)),
        "scratch_2": truth[:1] + 0.1 * rng.normal(size=30),
        "finetuned_1": truth[:1] + 3.0 * rng.normal(size=30),
        "predictor": rng.normal(size=(1, 30)),
    }
    seconds = dict(zip(scores, (0.0, 0.1, 9.0, 3.0, 0.1), strict=True))
    found = statistics.summary(scores, truth, seconds)
    by_name = {row["name"]: row for row in found["evaluators"]}
    assert all(row["low"] <= row["tau"] <= row["high"] for row in by_name.values())
    assert by_name["scratch_2"]["tau"] > 0.95
    gains = {(g["name"], g["over"]): g for g in found["gains"]}
    assert gains["scratch_2", "macs"]["low"] > 0
    assert gains["predictor", "macs"]["low"] < 0 < gains["predictor", "macs"]["high"]
    assert statistics.default(found, found) == "finetuned_1"  # both are good; it is cheaper
    without = {**found, "gains": [g for g in found["gains"] if g["name"] != "finetuned_1"]}
    assert statistics.default(found, without) == "scratch_2"
    assert statistics.default(found, {**found, "gains": []}) is None


def test_the_tool_repeats_nothing(root: Path, tmp_path: Path) -> None:
    command = [str(root / "tools" / "rank_correlation.py"), "--json"]
    command += ["data=digits", "device=stm32f100", "threads=1"]
    command += ["point.rank_ratio=1.0", "point.patch_size=4", "--out", str(tmp_path)]
    command += ["--subnets", "2", "--train-images", "128", "--epochs", "2", "--seeds", "2"]
    command += ["--supernet-epochs", "2", "--supernet-seeds", "2"]
    command += ["--evaluators", "macs", "inherited_uniform", "scratch_1"]

    def run() -> tuple[dict, dict[Path, int]]:
        result = commands.run(command, cwd=root)
        assert result.returncode == 0, result.stderr
        records = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
        return json.loads(result.stdout.splitlines()[-1]), records

    found, records = run()
    assert run() == (found, records)
    names = ["macs", "inherited_uniform", "scratch_1"]
    for part in (found, found["band"]):
        assert [row["name"] for row in part["evaluators"]] == names
        assert set(part["evaluators"][0]) == {"name", "tau", "low", "high", "seconds_per_candidate"}
    assert len([p for p in records if "inherited_uniform" in p.parts]) == 2 * 4
