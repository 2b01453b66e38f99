"""The layers of DESIGN.md, enforced on every import statement."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "mcuformer": set(),
    "oplib": {"mcuformer"},
    "supernet": {"mcuformer"},
    "evolve": {"mcuformer", "supernet", "oplib"},
}
COMMANDS = {
    "mcuformer/__main__.py",
    "mcuformer/chain.py",
    "mcuformer/execution.py",
    "mcuformer/inspection.py",
    "mcuformer/plan.py",
    "mcuformer/reexport.py",
    "mcuformer/report/classes.py",
    "mcuformer/report/command.py",
    "mcuformer/report/comparison.py",
    "mcuformer/report/making.py",
    "mcuformer/report/measure.py",
    "mcuformer/report/network.py",
    "mcuformer/report/page.py",
    "mcuformer/report/predictions.py",
    "mcuformer/report/results.py",
    "mcuformer/report/run_files.py",
    "mcuformer/report/terminal.py",
    "mcuformer/rounds.py",
    "mcuformer/run_summary.py",
    "supernet/train.py",
    "evolve/space.py",
    "evolve/search.py",
    "evolve/finetune.py",
    "evolve/qat.py",
    "oplib/export.py",
}
ALGORITHMS = ("evolve/space_search/", "evolve/subnet_search/")
THIRD_PARTY = {
    "mcuformer": {"numpy", "pydantic", "pydantic_core", "safetensors", "rich", "sklearn", "PIL"},
    "oplib": {"numpy", "scipy", "pydantic", "typing_extensions"},
    "supernet": {"numpy", "torch", "timm", "accelerate", "einops", "pydantic"},
    "evolve": {"numpy", "pydantic"},
}
LATE = {
    "mcuformer/run/entry.py": {"hydra", "omegaconf"},
    "mcuformer/run/command_line.py": {"hydra"},
    "mcuformer/run/default_options.py": {"hydra", "omegaconf"},
    "mcuformer/run/presets.py": {"omegaconf"},
    "mcuformer/run/threads.py": {"psutil"},
    "mcuformer/run/user_file.py": {"yaml"},
    "mcuformer/pictures.py": {"matplotlib"},
    "mcuformer/report/making.py": {"yaml"},
    "mcuformer/report/page.py": {"jinja2"},
    "mcuformer/data/timm_reader.py": {"timm"},
    "oplib/codegen/onnx.py": {"onnx"},
    "oplib/target/serial_line.py": {"serial"},
    "evolve/qat_network.py": {"torch"},
    "evolve/supernet_landscape.py": {"torch"},
    "evolve/subnet_search/distance.py": {"scipy"},
    "evolve/evaluation/evaluator.py": {"torch"},
    "evolve/evaluation/predictor.py": {"sklearn"},
    "evolve/evaluation/race.py": {"scipy"},
    "evolve/subnet_search/queue.py": {"optuna"},
    "evolve/subnet_search/storage.py": {"optuna"},
    "evolve/subnet_search/study.py": {"optuna"},
    "evolve/subnet_search/trials.py": {"optuna", "psutil"},
}
# never imported before a stage runs
HEAVY = {"torch", "hydra", "omegaconf", "timm", "matplotlib", "scipy", "sklearn"}


def import_layers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tools" / "import_layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LAYERS = import_layers()
FILES = {str(path.relative_to(ROOT)): path for path in LAYERS.modules().values()}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Return the modules that a file imports, optionally at its top level only."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(str(node.module))
    return found


def test_no_import_points_upwards_or_in_a_circle() -> None:
    assert len(FILES) > 100
    assert LAYERS.faults() == ([], [])


@pytest.mark.parametrize("name", sorted(FILES))
def test_packages_know_only_what_lies_below(name: str) -> None:
    package = name.split("/", maxsplit=1)[0]
    allowed = {package, *PACKAGES[package]}
    if name.startswith(ALGORITHMS):
        allowed = {"evolve", "mcuformer"}
    if name in COMMANDS:
        allowed = set(PACKAGES)
    tops = {module.split(".")[0] for module in imports(FILES[name])}
    assert tops & set(PACKAGES) <= allowed
    third = THIRD_PARTY[package] | ({"torch"} if name in COMMANDS else set())
    third = third | LATE.get(name, set())
    assert tops - set(PACKAGES) - set(sys.stdlib_module_names) <= third


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_import_torch_late(name: str) -> None:
    """Validation must not wait for torch: no command reaches it through top-level imports."""
    seen: set[Path] = set()

    def reach(path: Path) -> None:
        if path in seen or not path.is_file():
            return
        seen.add(path)
        for module in imports(path, top_level=True):
            assert module.split(".")[0] not in HEAVY, f"{path} imports {module}"
            base = ROOT / module.replace(".", "/")
            reach(base.with_suffix(".py"))
            reach(base / "__init__.py")

    reach(ROOT / name)
    assert len(seen) > 3
