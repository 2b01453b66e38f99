"""Statistics of rankings: Kendall's tau-b with bootstrap intervals over the ranked subnets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from tool import Table

from mcuformer.seed import stream

RESAMPLES = 2000
BASELINES = ("inherited_uniform", "macs")  # what a default must beat among subnets of one size
GOOD_TAU = 0.7  # what it must reach over all sizes
Scores = npt.NDArray[np.float64]  # (seeds, subnets)


def weighted_tau(one: Scores, other: Scores, weights: Scores) -> Scores:
    """Return Kendall's tau-b of two rows in samples that hold their entries several times.

    With a = sign(x_i - x_j) and b = sign(y_i - y_j), tau-b is sum ab / sqrt(sum aa sum bb) over all
    pairs of a sample; ties are 0. A sample that holds entry i w_i times makes each sum w' (ab) w.

    Args:
        one: first row (n,).
        other: second row (n,).
        weights: how often each sample holds each entry, (samples, n).

    Returns:
        tau-b of each sample, (samples,); 0 where a row is constant and says nothing.
    """
    a, b = (np.sign(row[:, None] - row) for row in (one, other))
    both, first, second = (((weights @ m) * weights).sum(axis=1) for m in (a * b, a * a, b * b))
    pairs = np.sqrt(first * second)
    taus: Scores = np.divide(both, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    return taus


def mean_tau(scores: Scores, truth: Scores, weights: Scores) -> Scores:
    """Return the mean tau-b of rows (seeds, n) with the mean of the rows of the truth."""
    target = truth.mean(axis=0)
    taus: Scores = np.mean([weighted_tau(row, target, weights) for row in scores], axis=0)
    return taus


def ceiling(truth: Scores, weights: Scores) -> Scores:
    """Return the mean tau-b between two seeds of the truth."""
    pairs = combinations(truth, 2)
    taus: Scores = np.mean([weighted_tau(one, other, weights) for one, other in pairs], axis=0)
    return taus


def estimate(taus: Scores) -> dict[str, float]:
    """Return the first of several values, and the 95 % interval of the others."""
    low, high = np.quantile(taus[1:], (0.025, 0.975))
    values = {"tau": taus[0], "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in values.items()}


def summary(
    scores: Mapping[str, Scores], truth: Scores, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return tau and interval of every evaluator, of the ceiling, and of the differences.

    All share the same resamples of subnets, so that the differences are paired.

    Args:
        scores: what each evaluator found, (seeds, n), by its name.
        truth: accuracies of trainings from scratch, (seeds, n).
        seconds: CPU seconds per candidate, by the evaluator's name.

    Returns:
        ``evaluators``, a list; ``ceiling``, null with a single seed of the truth; and ``gains``,
        the tau of an evaluator minus that of a baseline.
    """
    count = truth.shape[1]
    draws = stream(0, "bootstrap").multinomial(count, [1 / count] * count, size=RESAMPLES)
    weights = np.vstack([np.ones(count), draws])  # the set itself, then its resamples
    taus = {name: mean_tau(values, truth, weights) for name, values in scores.items()}
    rows = [
        {"name": name, **estimate(taus[name]), "seconds_per_candidate": round(seconds[name], 3)}
        for name in scores
    ]
    gains = [
        {"name": name, "over": base, **estimate(taus[name] - taus[base])}
        for base in BASELINES
        if base in scores
        for name in scores
        if name not in BASELINES
    ]
    limit = estimate(ceiling(truth, weights)) if len(truth) > 1 else None
    return {"evaluators": rows, "ceiling": limit, "gains": gains}


def default(whole: Mapping[str, Any], band: Mapping[str, Any]) -> str | None:
    """Return the cheapest evaluator that deserves to be the default, or None.

    It reaches :data:`GOOD_TAU` over the whole range and beats every baseline in the band, by an
    interval that excludes 0.
    """
    wins = {
        name: {g["over"] for g in band["gains"] if g["name"] == name and g["low"] > 0}
        for name in {g["name"] for g in band["gains"]}
    }
    good = [
        row
        for row in whole["evaluators"]
        if row["tau"] >= GOOD_TAU and wins.get(row["name"]) == set(BASELINES)
    ]
    cheapest = min(good, key=lambda row: row["seconds_per_candidate"], default=None)
    return None if cheapest is None else str(cheapest["name"])


def _cells(row: Mapping[str, Any]) -> str:
    return f"{row['tau']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"


def tables(whole: Mapping[str, Any], band: Mapping[str, Any]) -> list[Table]:
    """Return one table: a row per evaluator, over the whole range and in the band."""
    narrow = {row["name"]: row for row in band["evaluators"]}
    gains = {(g["name"], g["over"]): _cells(g) for g in band["gains"]}
    rows = [
        (
            row["name"],
            f"{row['seconds_per_candidate']:.1f}",
            _cells(row),
            _cells(narrow[row["name"]]),
            *(gains.get((row["name"], base), "") for base in BASELINES),
        )
        for row in whole["evaluators"]
    ]
    if whole["ceiling"] is not None:
        limits = _cells(whole["ceiling"]), _cells(band["ceiling"])
        rows.append(("two seeds of the truth", "", *limits, *("" for _ in BASELINES)))
    header = ("evaluator", "CPU s", "all sizes", "band", *(f"over {b}" for b in BASELINES))
    return [Table(header, rows)]
