"""Count imports between the packages' files that point upwards, and files in import circles.

python tools/import_layers.py [--json]      (imports inside functions count too)
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (  # lowest first; a module belongs to the layer with its longest prefix
    ("mcuformer",),  # values: spaces, subnets, devices, errors
    ("mcuformer.run",),
    ("mcuformer.data",),
    ("mcuformer.pictures", "mcuformer.zoo_entry"),
    ("oplib.forms", "oplib.graph"),
    ("oplib.ops",),
    ("oplib.network",),
    ("oplib.quantize",),
    ("oplib.plan",),
    ("oplib.codegen",),
    ("oplib.target",),
    ("oplib.package",),
    ("oplib",),  # oplib.export
    ("supernet",),
    ("evolve.space_search", "evolve.subnet_search"),
    ("evolve.evaluation",),
    ("evolve",),  # the commands
    ("mcuformer.run_summary",),
    ("mcuformer.report", "mcuformer.inspection", "mcuformer.reexport", "mcuformer.chain"),
    ("mcuformer.rounds", "mcuformer.plan", "mcuformer.execution", "mcuformer.__main__"),
)
RANKS = {prefix: rank for rank, layer in enumerate(LAYERS) for prefix in layer}


def modules() -> dict[str, Path]:
    """Return the file of every module of the four packages, by dotted module name."""
    files = {path for prefix in RANKS for path in (ROOT / prefix.split(".")[0]).rglob("*.py")}
    dotted = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): path for name, path in dotted.items()}


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the `known` modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in known else str(node.module))
    return names & set(known)


def rank(module: str) -> int:
    """Return the number of a module's layer, counted from the lowest."""
    return RANKS[max((p for p in RANKS if f"{module}.".startswith(f"{p}.")), key=len)]


def faults() -> tuple[list[str], list[str]]:
    """Return the imports that point upwards, and the modules of circles with their importers."""
    known = modules()
    arrows = {name: imported(path, known) for name, path in known.items()}
    upward = [f"{a} -> {b}" for a, targets in arrows.items() for b in targets if rank(b) > rank(a)]
    remaining = dict(arrows)
    while leaves := [name for name, targets in remaining.items() if not targets & remaining.keys()]:
        remaining = {name: arrows[name] for name in remaining if name not in leaves}
    return sorted(upward), sorted(remaining)  # circles, and modules that import them


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    upward, circles = faults()
    print(*upward, *circles, sep="\n", file=sys.stderr)
    if parser.parse_args().json:
        print(json.dumps({"circles": len(circles), "upward": len(upward)}))
    sys.exit(bool(upward or circles))
