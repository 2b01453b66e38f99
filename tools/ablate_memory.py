"""Memory saved by each pass: peak SRAM of the paper's network and of DeiT-Tiny, pass by pass.

    python tools/ablate_memory.py [--json] [--markdown]

The rows add one pass after another, like the paper's figure 3, and end with streaming, which takes
the better of a decomposed and a whole patch embedding. The first row runs layer by layer without
any overwriting, as CMSIS-NN and TinyEngine do; percentages are savings against it. `image`: the
whole image is in SRAM; `strip`: it is supplied in strips. `flash`: kernels read weights in flash;
`staged`: as in the paper's count, the weights of one layer (or of one pass of the patch embedding)
are copied to SRAM as well. Bytes are arenas with working memory, planned and checked byte by byte,
without static data and stack.
"""

from __future__ import annotations

import argparse
from typing import Any

import tool
from bench_network import DEIT_TINY, PAPER
from tool import Parser, Table

from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.graph import Graph, Node
from oplib.ops.registry import OPERATORS
from oplib.plan.check_plan import check_plan
from oplib.plan.schedule import schedule
from oplib.plan.timeline import timeline

KERNEL = 4  # side of a pass of the decomposed patch embedding
NETWORKS = {"paper_320k": PAPER, "deit_tiny": DEIT_TINY}
NONE = {"integrate_operators": False, "overwrite_tokens": False, "stream_tokens": False}
ROWS: dict[str, tuple[dict[str, bool], tuple[int | None, ...]]] = {
    "layer by layer": (NONE, (None,)),
    "+ operator integration": ({**NONE, "integrate_operators": True}, (None,)),
    "+ patch embedding decomposition": ({**NONE, "integrate_operators": True}, (KERNEL,)),
    "+ token overwriting": ({"stream_tokens": False}, (KERNEL,)),
    "+ token streaming": ({}, (KERNEL, None)),  # over the image, decomposition may not pay
}
INPUTS = ("image", "strip")
ACCOUNTINGS = ("flash", "staged")


def staged_bytes(calls: Graph, node: Node) -> int:
    """Return the bytes of the largest weight matrix that a call would copy to SRAM at a time."""
    sizes = [0]
    for part in node.leaves:
        for spec in OPERATORS[part.op].array_specs(part, calls.inputs_of(part)):
            if spec.name == "weight":  # one pass is staged at a time
                passes = spec.shape[0] if len(spec.shape) == 3 else 1
                sizes.append(spec.num_bytes // passes)
    return max(sizes)


def peaks(subnet: SubnetConfig, forms: Forms) -> dict[str, int]:
    """Return the peak in bytes, by accounting."""
    scheduled = schedule(subnet, forms)
    check_plan(scheduled.calls, scheduled.plan)
    staged = max(
        moment.arena_bytes + staged_bytes(scheduled.calls, node)
        for moment, node in zip(timeline(scheduled), scheduled.calls.nodes, strict=True)
    )
    return {"flash": scheduled.plan.arena_bytes, "staged": staged}


def ablate(subnet: SubnetConfig) -> list[dict[str, Any]]:
    """Return every row of a network: bytes, and percent saved against the first row."""
    rows: list[dict[str, Any]] = []
    for name, (switched, kernels) in ROWS.items():
        row: dict[str, Any] = {"row": name}
        for image in INPUTS:
            passes = Passes.parse({**switched, "input": image})
            variants = [peaks(subnet, Forms(patch_kernel=k, passes=passes)) for k in kernels]
            for accounting in ACCOUNTINGS:
                size = min(variant[accounting] for variant in variants)
                first = rows[0][image][accounting]["bytes"] if rows else size
                saved = round(100 * (1 - size / first), 1)
                row.setdefault(image, {})[accounting] = {"bytes": size, "saved_percent": saved}
        rows.append(row)
    return rows


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Plan every row of every network."""
    rows = [{"name": name, "rows": ablate(subnet)} for name, subnet in NETWORKS.items()]
    return {"networks": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table per network: bytes, and percent saved against the first row."""
    columns = [(image, accounting) for accounting in ACCOUNTINGS for image in INPUTS]
    header = ("", *(f"{image}, {accounting}" for image, accounting in columns))
    by_network = []
    for network in result["networks"]:
        rows = []
        for row in network["rows"]:
            cells = [row[image][accounting] for image, accounting in columns]
            saved = (f"{cell['bytes']:,} ({cell['saved_percent']:.1f} %)" for cell in cells)
            rows.append((row["row"], *saved))
        by_network.append(Table(header, rows, network["name"]))
    return by_network


if __name__ == "__main__":
    raise SystemExit(tool.run(Parser(__doc__), measure, tables))
