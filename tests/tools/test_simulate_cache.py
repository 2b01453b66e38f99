"""Weights of a small network through simulated caches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Printed, run

BLOCKS, TOKENS, DIM, CLASSES = 3, 16, 48, 10  # of `digits`


def run_tool(root: Path, *options: str) -> Printed:
    return run([root / "tools" / "simulate_cache.py", *options, "--json"], cwd=root)


def simulated(root: Path, *options: str) -> dict[str, Any]:
    result = run_tool(root, *options)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])["rows"][-1]


@pytest.mark.usefixtures("host_tools")
def test_a_large_cache_loads_every_weight_once(root: Path) -> None:
    """Matrices, biases with multipliers, norms and positions; of the tables what is looked up."""
    block = 8 * DIM**2 + 8 * 7 * DIM + 2 * 8 * DIM  # attention 4 D^2, MLP 4 D^2, two norms
    rest = (4 + 8 + TOKENS) * DIM + 8 * DIM + (DIM + 8) * CLASSES  # patches of 4, norm, head
    tables = BLOCKS * (256 + 2 * 256)  # GELU in int8, softmax in int16
    least = BLOCKS * block + rest
    row = simulated(root, "digits", "--cache", str(1 << 20))
    for policy in ("least_recently_used", "random"):
        assert least <= row[policy] <= least + tables + 32


@pytest.mark.usefixtures("host_tools")
def test_panels_in_the_cache_evict_weights(root: Path) -> None:
    """cifar_conv2 reads pairs of rows again for every tile where its panels take their place."""
    apart, shared = (simulated(root, "cifar_conv2", *more) for more in ((), ("--shared",)))
    assert apart["counted"] == shared["counted"]
    assert apart["least_recently_used"] == pytest.approx(apart["counted"], rel=0.02)
    assert shared["least_recently_used"] > 1.2 * shared["counted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("absent",), "error: NAME: no such network (got absent, expected deit_tiny, "),
        (("digits", "--cache", "100"), "error: --cache: not a whole number of sets (got 100, "),
    ],
)
def test_refuses(root: Path, options: tuple[str, ...], message: str) -> None:
    result = run_tool(root, *options)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
