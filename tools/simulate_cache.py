"""Bytes of weights that leave their memory, by simulated data caches and as they are counted.

    python tools/simulate_cache.py [NAME ...] [--cache 4096] [--shared] [--json]

One image runs through a network of tools/bench_network.py (deit_tiny) on this computer, compiled so
that every access of its C to weights and arena passes two caches of 4 ways and 32-byte lines, which
replace the least recently used way or a random one. Tiles and panels bypass them, as in tightly
coupled memory, but where they lie in the image; with --shared they do not. Counted is what the
planner counts: constants once per panel.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import tool
from bench_network import NETWORKS, Prepared, prepare
from tool import Parser, Table

from mcuformer.errors import ConfigError
from mcuformer.run.progress import track
from oplib.graph import Node
from oplib.ops.base import align
from oplib.ops.registry import OPERATORS
from oplib.plan.time_model import node_work
from oplib.target.firmware import COMPONENT, PORT
from oplib.target.tools import require, run

LINE = 32
KEPT = ("keys", "values", "slots", "strip", "rows of the image", "rows between")
"""Parts of scratch that hold more than a panel, and come before it."""
CALL = re.compile(r"^    (?:const int32_t status = )?oplib_\w+\(", re.MULTILINE)
FIRST_OF_RUN = " void done("  # what stands before the calls in a network's C
SIMULATOR = Path(__file__).with_name("simulate_cache.c")
DECLARATION = "void simulate_call(const uint8_t *start, const uint8_t *end);"


def bypassing(ready: Prepared, node: Node) -> tuple[int, int]:
    """Return the bytes [start, stop) of the arena that hold a call's tiles and panels."""
    calls, plan = ready.scheduled.calls, ready.scheduled.plan
    if node.name in plan.fast_scratch:
        return 0, 0
    parts = OPERATORS[node.op].scratch_parts(node, calls.inputs_of(node))
    start = plan.scratch.get(node.name, 0)
    stop = start + sum(map(align, parts.values()))
    return start + sum(align(size) for name, size in parts.items() if name in KEPT), stop


def announce_calls(model: str, ready: Prepared, *, shared: bool) -> str:
    """Return a firmware's model.c that names the bypassing bytes before every call."""
    nodes = iter(ready.scheduled.calls.nodes)

    def announced(call: re.Match[str]) -> str:
        start, stop = (0, 0) if shared else bypassing(ready, next(nodes))
        return f"    simulate_call(arena + {start}, arena + {stop});\n{call[0]}"

    before, mark, calls = model.partition(FIRST_OF_RUN)
    return f"#include <stdint.h>\n{DECLARATION}\n{before}{mark}{CALL.sub(announced, calls)}"


def lines_loaded(ready: Prepared, cache_bytes: int, *, shared: bool) -> list[tuple[int, int]]:
    """Return the lines of weights that each call loads: least recently used replaced, random.

    Raises:
        ToolMissingError: there is no C compiler.
        FirmwareError: the program does not compile or run.
    """
    require("cc")
    with tempfile.TemporaryDirectory(prefix="mcuformer-cache-") as name:
        folder = Path(name)
        ready.write(folder)
        network, ports = folder / COMPONENT, folder / PORT
        model, program = network / "model.c", folder / "program"
        model.write_text(announce_calls(model.read_text(), ready, shared=shared))
        places = (network, network / "oplib" / "include", ports, ports / "app")
        include = [*(f"-I{place}" for place in places), f"-Wa,-I{network}"]
        flags = ["-std=c99", "-O2", "-fno-tree-vectorize", *include]
        operators = sorted((network / "oplib").glob("*/*.c"))
        sources = [model, network / "model_weights.c", *operators]
        objects = [folder / f"{source.stem}.o" for source in sources]
        for source, compiled in zip(sources, objects, strict=True):
            watched = ["-fsanitize=thread", "-c", str(source), "-o", str(compiled)]
            run(["cc", *flags, *watched])
        cached = ["-DFAST_ARENA_IS_CACHED"] if shared else []
        simulator = [f"-DCACHE_BYTES={cache_bytes}", *cached, str(SIMULATOR)]
        run(["cc", *flags, *simulator, *map(str, objects), "-o", str(program)])
        (folder / "image.bin").write_bytes(ready.images[0].tobytes())
        printed = run([str(program)], directory=folder).stdout
    rows = [line.split() for line in printed.splitlines()]
    return [(int(recent), int(random)) for recent, random in rows]


def simulate(name: str, cache_bytes: int, *, shared: bool) -> list[dict[str, Any]]:
    """Return a network's bytes of weights, operator by operator, and in all."""
    network = NETWORKS[name]
    ready = prepare(network, 1, network.budget)
    calls, total = ready.scheduled.calls, "all"
    loaded = lines_loaded(ready, cache_bytes, shared=shared)
    sums: dict[str, list[int]] = {}
    for node, lines in zip(calls.nodes, loaded, strict=True):
        counts = (node_work(calls, node).bytes_read, *(LINE * count for count in lines))
        for key in (node.op, total):
            sums[key] = [a + b for a, b in zip(sums.get(key, [0, 0, 0]), counts, strict=True)]
    keys = ("counted", "least_recently_used", "random")
    names = [*(op for op in sums if op != total), total]
    return [
        {"name": name, "operator": op, **dict(zip(keys, sums[op], strict=True))} for op in names
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Simulate the networks named."""
    tool.require_at_least(1, cache=options.cache)
    if options.cache % (4 * LINE):
        raise ConfigError(
            "not a whole number of sets",
            where="--cache",
            got=options.cache,
            expected=f"a multiple of {4 * LINE}",
        )
    for name in options.names:
        if name not in NETWORKS:
            raise ConfigError(
                "no such network", where="NAME", got=name, expected=", ".join(NETWORKS)
            )
    rows = [
        row
        for name in track(options.names, "networks")
        for row in simulate(name, options.cache, shared=options.shared)
    ]
    return {"cache_bytes": options.cache, "shared": options.shared, "rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per operator."""
    rows = [
        (
            row["name"],
            row["operator"],
            *(f"{row[key]:,}" for key in ("counted", "least_recently_used", "random")),
        )
        for row in result["rows"]
    ]
    header = ("network", "operator", "bytes counted", "least recently used", "random")
    return [Table(header, rows, words=2)]


if __name__ == "__main__":
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", default=["deit_tiny"], metavar="NAME")
    parser.add_argument("--cache", type=int, default=4096, help="bytes of the cache (4096)")
    parser.add_argument("--shared", action="store_true", help="tiles and panels are cached too")
    raise SystemExit(tool.run(parser, measure, tables))
