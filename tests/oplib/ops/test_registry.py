"""Every operator says what the rest of the library asks of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from mcuformer.subnet import Activation
from oplib.codegen.onnx import ONNX_FORMS
from oplib.graph import Branch
from oplib.ops.base import Operator
from oplib.ops.fused import BlockOperator, FusedOperator
from oplib.ops.registry import BLOCKS, OPERATORS

RUNTIME = Path(__file__).resolve().parents[3] / "oplib" / "runtime"
HEADERS = "".join(path.read_text() for path in (RUNTIME / "include").glob("oplib*.h"))
NUMBERS = ("run_float", "lower", "run_integer", "work")
ALWAYS = ("output_type", "call_arguments")


def implements(operator: Operator, method: str) -> bool:
    """Return whether a method is more than the interface's refusal."""
    return inspect.getattr_static(type(operator), method) is not getattr(Operator, method)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_an_operator_is_whole(op: str) -> None:
    """A leaf has numbers and work; a fused operator sums its parts'; all have a kernel."""
    operator = OPERATORS[op]
    fused = isinstance(operator, FusedOperator)
    for method in ALWAYS if fused else (*ALWAYS, *NUMBERS, "fields"):
        assert implements(operator, method), f"{op} lacks {method}"
    assert operator.kernel.startswith("oplib_")
    if not fused:
        assert operator.family in ONNX_FORMS, f"{op} has no ONNX form"


def test_every_activation_has_an_operator() -> None:
    assert set(get_args(Activation)) <= set(OPERATORS)


def test_both_halves_of_a_block_stream() -> None:
    assert set(BLOCKS) == set(get_args(Branch))
    operators = [operator for forms in BLOCKS.values() for operator in forms.values()]
    assert all(isinstance(operator, BlockOperator) for operator in operators)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_kernels_are_declared(name: str) -> None:
    operator = OPERATORS[name]
    assert re.search(rf"\b{operator.kernel}\(", HEADERS)
    assert re.search(rf"\b{operator.params or operator.kernel + '_params'}\b", HEADERS)
    sources = {f"oplib_{path.stem}" for path in (RUNTIME / "src").glob("*.c")}
    panel = {operator.panel_kernel} - {None}
    assert {operator.kernel, *operator.helpers} | panel <= sources
    assert all(re.search(rf"\b{kernel}\(", HEADERS) for kernel in panel)


def concrete(kind: type[Operator]) -> set[type[Operator]]:
    found = set() if kind.__subclasses__() else {kind}
    return found.union(*(concrete(child) for child in kind.__subclasses__()))


def test_no_operator_is_forgotten() -> None:
    ours = {kind for kind in concrete(Operator) if kind.__module__.startswith("oplib.")}
    assert ours <= {type(operator) for operator in OPERATORS.values()}
