"""Count imports between the packages' files that point upwards, and circles among them.

python tools/import_layers.py [--json]      (imports inside functions count too)
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (  # lowest first; a module belongs to its longest prefix here
    ("mcuformer",),  # values: spaces, subnets, devices, errors
    ("mcuformer.run",),
    ("mcuformer.data",),
    ("mcuformer.pictures",),
    ("oplib.forms", "oplib.graph"),
    ("oplib.ops",),
    ("oplib.network",),
    ("oplib.quantize",),
    ("oplib.plan",),
    ("oplib.codegen",),
    ("oplib.target",),
    ("oplib",),  # oplib.export
    ("supernet",),
    ("evolve.space_search", "evolve.subnet_search"),
    ("evolve",),  # the commands
    ("mcuformer.report", "mcuformer.inspection", "mcuformer.chain", "mcuformer.__main__"),
)
RANKS = {prefix: rank for rank, layer in enumerate(LAYERS) for prefix in layer}


def modules() -> dict[str, Path]:
    """Return the file of every module of the four packages, by dotted name."""
    files = {path for prefix in RANKS for path in (ROOT / prefix.split(".")[0]).rglob("*.py")}
    dotted = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): path for name, path in dotted.items()}


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Return which of the `known` modules a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else str(node.module))
    return found & set(known)


def rank(module: str) -> int:
    """Return the layer of a module, counted from the lowest."""
    return RANKS[max((p for p in RANKS if f"{module}.".startswith(f"{p}.")), key=len)]


def faults() -> tuple[list[str], list[str]]:
    """Return the arrows that point upwards, and the modules that take part in a circle."""
    known = modules()
    arrows = {name: imported(path, known) for name, path in known.items()}
    upward = [f"{a} -> {b}" for a, found in arrows.items() for b in found if rank(b) > rank(a)]
    rest = dict(arrows)
    while leaves := [name for name, found in rest.items() if not found & rest.keys()]:
        rest = {name: found for name, found in rest.items() if name not in leaves}
    return sorted(upward), sorted(rest)  # what is left imports itself, or leads to such modules


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    upward, circles = faults()
    print(*upward, *circles, sep="\n", file=sys.stderr)
    if parser.parse_args().json:
        print(json.dumps({"circles": len(circles), "upward": len(upward)}))
    sys.exit(bool(upward or circles))
