"""Every module with logic has a test file of its name, or a named one that covers it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from oplib.ops.registry import OPERATORS

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
PACKAGES = ("mcuformer", "supernet", "evolve", "oplib")
KERNELS = "oplib/ops/test_kernels.py"  # every operator: C, integers and float, on random shapes
CHIPS = "oplib/target/test_firmware.py"  # whole networks in numpy, in C, on emulated chips
SELECTORS = "evolve/space_search/test_selectors.py"  # every selector on made-up landscapes
STUDY = "evolve/subnet_search/test_study.py"  # what workers share and continue
STRATEGIES = "evolve/subnet_search/test_strategies.py"  # every strategy on a made-up accuracy
PAGE = "mcuformer/report/test_page.py"  # the page of a run, and of one that has only begun
CHAIN = "integration/test_chain.py"  # every stage as a user runs it
TWINS = "supernet/test_models.py"  # supernet, extracted network and graph give equal numbers
RECIPE = "supernet/test_recipe.py"
OPERATOR_MODULES = {type(operator).__module__ for operator in OPERATORS.values()}
# module: the test file that covers it, and a word in which that file names it, by default the
# module's import or its name in quotation marks
ELSEWHERE = {
    "evolve.evaluation.evaluator": "evolve/evaluation/test_trained.py",
    "evolve.evaluation.records": (
        "evolve/evaluation/test_predictor.py",
        "every sample is recorded",
    ),
    "evolve.evaluation.combination": ("integration/test_evaluators.py", "the strategy's factors"),
    "evolve.finetune": CHAIN,
    "supernet.run_files": (CHAIN, "distillation.teacher=largest"),
    "evolve.supernet_landscape": ("integration/test_space_search.py", "evolve.space"),
    "evolve.search_result": ("integration/test_pruning.py", "search.jsonl"),
    "evolve.qat_network": "evolve/test_qat.py",
    "evolve.space_search.axis_climbing": SELECTORS,
    "evolve.space_search.climb": (SELECTORS, "promotion"),
    "evolve.space_search.gaussian_process": SELECTORS,
    "evolve.space_search.hill_climbing": SELECTORS,
    "evolve.space_search.history": SELECTORS,
    "evolve.space_search.joint": SELECTORS,
    "evolve.space_search.landscape": SELECTORS,
    "evolve.space_search.largest": SELECTORS,
    "evolve.space_search.quality": "evolve/test_search.py",
    "evolve.space_search.random_points": SELECTORS,
    "evolve.space_search.tinynas": SELECTORS,
    "evolve.space_search.trend": SELECTORS,
    "evolve.space_search.trend_paper": SELECTORS,
    "evolve.subnet_search.candidate": STUDY,
    "evolve.subnet_search.problem": STUDY,
    "evolve.subnet_search.queue": (STUDY, "test_killed_workers_and_their_number_change_nothing"),
    "evolve.subnet_search.random_subnets": STRATEGIES,
    "evolve.subnet_search.storage": (STUDY, "test_a_database_is_a_study_too"),
    "evolve.subnet_search.strategy": STRATEGIES,
    "evolve.subnet_search.task": STUDY,
    "evolve.subnet_search.trials": (STUDY, "test_optuna_reads_the_journal"),
    "mcuformer.__main__": (CHAIN, '"-m", "mcuformer"'),
    "mcuformer.errors": "mcuformer/test_value.py",
    "mcuformer.execution": (CHAIN, "test_a_second_run_has_nothing_to_do"),
    "mcuformer.fields": "mcuformer/run/test_presets.py",
    "mcuformer.inspection": (CHAIN, '"inspect"'),
    "mcuformer.report.blocks": (PAGE, "mcuformer.report.blocks"),
    "mcuformer.report.classes": (CHAIN, "Confusion matrix"),
    "mcuformer.report.command": ("mcuformer/report/test_comparison.py", "report_runs"),
    "mcuformer.report.making": (CHAIN, "Build and flash"),
    "mcuformer.report.measure": (CHAIN, "report.json"),
    "mcuformer.report.network": (CHAIN, "Flash by layer"),
    "mcuformer.report.results": (CHAIN, "Memory against its budget"),
    "mcuformer.report.run_files": (PAGE, "RunFiles"),
    "mcuformer.report.terminal": (CHAIN, '"inspect"'),
    "mcuformer.tokenizer": ("mcuformer/test_subnet.py", "conv1 takes patch_size"),
    "oplib.codegen.component": ("oplib/codegen/test_emit.py", "Component"),
    "oplib.codegen.model_h": ("oplib/codegen/test_model_c.py", '"model.h"'),
    "oplib.codegen.readme": ("oplib/codegen/test_emit.py", "README.md"),
    "oplib.codegen.weights_c": "oplib/target/test_weights.py",
    "oplib.export": ("integration/test_export.py", '"oplib.export"'),
    "oplib.export_config": "oplib/test_exportable.py",
    "oplib.forms": CHIPS,
    "oplib.graph": "oplib/plan/test_check_plan.py",
    "oplib.network.reference": CHIPS,
    "oplib.network.source": ("integration/test_sources.py", "NetworkSource"),
    "oplib.network.vit": TWINS,
    "oplib.ops.base": KERNELS,
    "oplib.ops.elementwise": (KERNELS, '"gelu"'),
    "oplib.ops.fused": "oplib/ops/test_registry.py",
    "oplib.ops.patch_operator": KERNELS,
    "oplib.ops.work": ("oplib/plan/test_time_model.py", "Work(products"),
    "oplib.package.arduino": ("oplib/package/test_package.py", '"arduino"'),
    "oplib.package.cube": ("oplib/package/test_package.py", '"cube"'),
    "oplib.package.espidf": ("oplib/package/test_package.py", '"espidf"'),
    "oplib.package.sources": ("oplib/package/test_package.py", "OPLIB_CORTEX_M4"),
    "oplib.package.zephyr": ("oplib/package/test_package.py", '"zephyr"'),
    "oplib.plan.footprint": ("oplib/target/test_target.py", "cost_by_blocks"),
    "oplib.size": "oplib/target/test_program_sizes.py",
    "oplib.target.board": CHIPS,
    "oplib.target.elf": "oplib/target/test_stack_bound.py",
    "oplib.target.board_record": "oplib/test_serve.py",
    "oplib.target.host": "oplib/target/test_heap.py",
    "oplib.target.ports": ("oplib/codegen/test_emit.py", "network_header"),
    "oplib.target.serving": "oplib/test_serve.py",
    "supernet.attention": (TWINS, "relative_position"),
    "supernet.augment": RECIPE,
    "supernet.checkpoint": "supernet/test_trainer.py",
    "supernet.data": RECIPE,
    "supernet.distillation": RECIPE,
    "supernet.distributed": ("integration/test_training.py", "torch.distributed.run"),
    "supernet.elastic": (TWINS, "test_slices_are_leading_blocks"),
    "supernet.evaluate": "evolve/evaluation/test_inherited.py",
    "supernet.extract": TWINS,
    "supernet.low_rank": (TWINS, "test_full_rank_factors_are_merged"),
    "supernet.metrics": ("supernet/test_trainer.py", "metrics.jsonl"),
    "supernet.model": TWINS,
    "supernet.modules": (TWINS, "Supernet"),
    "supernet.pruning.counts": ("integration/test_pruning.py", "pruning.json"),
    "supernet.pruning.feedback": "supernet/pruning/test_compact.py",
    "supernet.pruning.method": ("supernet/pruning/test_prune.py", "METHODS"),
    "supernet.pruning.settings": "supernet/pruning/test_groups.py",
    "supernet.pruning.variational": "supernet/pruning/test_layers.py",
    "supernet.registry": (CHAIN, "timm.create_model"),
    "supernet.relative_position": TWINS,
    "supernet.rounding": RECIPE,
    "supernet.task": "supernet/test_trainer.py",
    "supernet.timm_names": RECIPE,
    "supernet.tokenizer": "supernet/test_joint.py",
    "supernet.train": "integration/test_training.py",
    "supernet.validation": ("integration/test_training.py", '"smallest", "median", "largest"'),
    "supernet.vit": TWINS,
}


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module that computes something, by dotted name."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = {}
    for path in files:
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree)):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def mirror(module: str) -> Path:
    """Return the path of a module's own test file."""
    *folders, name = module.split(".")
    return TESTS.joinpath(*folders, f"test_{name}.py")


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_has_tests(module: str) -> None:
    if module in OPERATOR_MODULES:
        return  # test_kernels.py has a case of every registered operator, and asserts that
    if module in ELSEWHERE:
        assert not mirror(module).exists(), f"{module} has tests of its own: not elsewhere"
    else:
        assert mirror(module).is_file(), (
            f"write {mirror(module)}, or say in ELSEWHERE what covers it"
        )


@pytest.mark.parametrize("module", sorted(ELSEWHERE))
def test_the_named_file_knows_the_module(module: str) -> None:
    assert module in modules(), f"{module} is gone: so is its line"
    package, _, name = module.rpartition(".")
    place, words = ELSEWHERE[module], (module, f"from {package} import {name}", f'"{name}"')
    if isinstance(place, tuple):
        place, *words = place
    text = (TESTS / place).read_text()
    assert any(word in text for word in words), f"{place} does not name {module}"
