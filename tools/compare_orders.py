"""Peak bytes in the order as built, and least over all orders of execution.

    python tools/compare_orders.py [space=t] [--samples 200] [--json] [--markdown]

The networks of `bench_network.py`, and subnets drawn from every point of a space in turn. `layers`
are calls layer by layer, `calls` those of the schedule with the least memory, both as the planner
counts: with the image and scratch. `munas` counts as muNAS does: weights, image and scratch left
out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import tool
from bench_network import NETWORKS
from tool import Parser, Table

from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.run.entry import compose
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.plan.order import MUNAS, PLANNER, peak_in_order, peak_over_orders
from oplib.plan.schedule import schedule

KINDS = ("built", "least")  # order


def peaks(subnet: SubnetConfig, *, strip: bool) -> dict[str, dict[str, int]]:
    """Return the peaks in bytes of a subnet, in its own order and in the best, by count.

    Args:
        subnet: the network's shape.
        strip: whether the image is supplied in strips.
    """
    passes = Passes(input="strip" if strip else "image")
    layered = passes.model_copy(update={"stream_tokens": False})
    graphs = {
        "layers": (schedule(subnet, Forms(passes=layered)).calls, PLANNER),
        "calls": (schedule(subnet, Forms(passes=passes)).calls, PLANNER),
        "munas": (build_graph(subnet), MUNAS),
    }
    return {
        name: {
            "built": peak_in_order(graph, counting),
            "least": peak_over_orders(graph, counting).peak_bytes,
        }
        for name, (graph, counting) in graphs.items()
    }


def drawn(space: SearchSpace, samples: int) -> Iterator[SubnetConfig]:
    """Yield subnets of a space, from one point after the other."""
    points = space.points()
    for index in range(samples):
        point = points[index % len(points)]
        yield space.sample(point, stream(0, "orders", str(index)))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Search the orders of every network."""
    tool.require_at_least(1, samples=options.samples)
    config = compose("evolve_space", ["space=t", *options.overrides], EvolveSpaceConfig)
    space = SearchSpace.parse(config["space"], where="space")
    networks = {name: peaks(net.subnet, strip=net.strip) for name, net in NETWORKS.items()}
    sampled = [peaks(subnet, strip=False) for subnet in drawn(space, options.samples)]
    lowered = {
        name: sum(row[name]["least"] < row[name]["built"] for row in sampled) for name in sampled[0]
    }
    return {"networks": networks, "samples": options.samples, "lowered": lowered}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the networks' bytes, and how many sampled subnets another order helps."""
    header = ("network", *(f"{name}, {kind}" for name in result["lowered"] for kind in KINDS))
    rows = [
        (name, *(f"{found[kind]:,}" for found in counts.values() for kind in KINDS))
        for name, counts in result["networks"].items()
    ]
    lowered = [str(count) for count in result["lowered"].values()]
    helped = Table(
        ("subnets", *(f"{name}, lowered" for name in result["lowered"])),
        [(f"{result['samples']:,}", *lowered)],
    )
    return [Table(header, rows), helped]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, for instance space=digits")
    parser.add_argument("--samples", type=int, default=200)
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
