"""Share of refused subnets of every space on every board that it is offered for.

    python tools/refused_shares.py [--samples 200] [--spaces digits ...] [--json] [--markdown]

Subnets are drawn uniformly over all points of a space; a board refuses those whose firmware exceeds
its SRAM or flash, by the exporter's own planner. The pairs are those of
`mcuformer/run/sized_spaces.py`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import tool
from tool import Parser, Table

from evolve.space_search.quality import measure_admission, sample_space
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import ConfigError
from mcuformer.run.presets import load
from mcuformer.run.sized_spaces import OFFERS, Offer
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from oplib.target.target import Target


def space_of(offer: Offer) -> SearchSpace:
    """Return an offered space, with the images that it is meant for."""
    return load("space", offer.space, SearchSpace, **(offer.sizes or {}))


def shares(offer: Offer, samples: int) -> list[dict[str, Any]]:
    """Return a row per board of an offered space; all judge the same subnets."""
    subnets, rows = sample_space(space_of(offer), samples, stream(0, "admission")), []
    for name in offer.devices:
        budget = BudgetConfig(memory_model=offer.memory_model)
        target = Target(load("device", name, Device), budget)
        admission, _ = measure_admission(subnets, target.cost, target.limit)
        percent = round(100 * admission.refused / samples, 1)
        model = {"memory_model": offer.memory_model}
        row = {"space": offer.space, "device": name, **model, "refused_percent": percent}
        rows.append(row | admission.dump())
    return rows


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Sample every offered space and count what its boards refuse."""
    tool.require_at_least(1, samples=options.samples)
    names, chosen = [offer.space for offer in OFFERS], options.spaces
    for name in chosen or ():
        if name not in names:
            raise ConfigError("no offered space", where="--spaces", got=name, expected=names)
    offers = [offer for offer in OFFERS if chosen is None or offer.space in chosen]
    started = time.monotonic()
    rows = [row for offer in offers for row in shares(offer, options.samples)]
    return {"rows": rows, "samples": options.samples, "seconds": time.monotonic() - started}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return one table with a row per pair."""
    names = ("refused_percent", "sram", "flash", "both")
    header = ("space", "device", "memory model", "refused %", "SRAM alone", "flash alone", "both")
    rows = [
        (row["space"], row["device"], row["memory_model"], *(str(row[name]) for name in names))
        for row in result["rows"]
    ]
    return [Table(header, rows, f"of {result['samples']} subnets")]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--spaces", nargs="+", help="names of spaces; all without")
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
