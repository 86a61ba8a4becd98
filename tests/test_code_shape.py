"""The shape of the code itself: which layer may import which, how large a module and a function may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "prompts", "pipeline", "flows")
MODULE_LINES = 300
FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}

SOURCES = sorted(path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))


def name_file(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def find_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=name_file)
def test_imports_go_one_way(path: Path) -> None:
    layer = LAYERS.index(path.relative_to(REPOSITORY).parts[0])
    higher = set(LAYERS[layer + 1 :]) | {"tests"}
    assert not {name for name in find_imports(path) if name.split(".")[0] in higher}


@pytest.mark.parametrize("path", SOURCES, ids=name_file)
def test_orchestration_stays_in_flows(path: Path) -> None:
    if path.is_relative_to(REPOSITORY / "flows"):
        return
    assert not {name for name in find_imports(path) if name.split(".")[0] in {"prefect", "typer", "ray"}}


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_file)
def test_modules_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= MODULE_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_file)
def test_names_say_what_a_module_is(path: Path) -> None:
    assert path.stem not in VAGUE_NAMES
    if path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(path.read_text())), "a module says its purpose and promises"
