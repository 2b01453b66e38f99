"""Limits of size: no file above 400 lines, no function above 50."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("mcuformer", "supernet", "evolve", "oplib", "tools")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of a function's lines from its ``def`` on, without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        text = function.body[0]
        lines -= text.end_lineno - text.lineno + 1
    return lines


def long_functions(source: str) -> list[str]:
    return [
        f"{node.name}: {lines_without_docstring(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, FUNCTIONS) and lines_without_docstring(node) > MAX_FUNCTION_LINES
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_FILE_LINES
    assert long_functions(source) == []


def test_a_long_function_is_seen() -> None:
    """Fifty lines and a docstring pass; one line more does not."""
    body = "    x = 1\n" * 49
    assert long_functions(f'def f():\n    """One.\n\n    Two.\n    """\n{body}') == []
    assert long_functions(f"def f():\n{body}    x = 2\n") == ["f: 51"]
