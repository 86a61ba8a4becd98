"""The shape of the code itself: which layer and folder may import which, how large a module and a function may grow."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "prompts", "pipeline", "flows", "rampforge")
API = REPOSITORY / "flows" / "python-api"
"""The folder of the package `rampforge`."""
PIPELINE = (
    "http",
    "storage",
    "llm",
    "rendering",
    "assets",
    "text",
    "statistics",
    "passages",
    "search",
    "agents",
    "corpus",
    "decontamination",
    "evidence",
    "masking",
    "reachability",
    "judging",
    "labelling",
    "auditing",
    "rewards",
    "difficulty",
    "charts",
    "report",
    "exporting",
    "importing",
    "rollouts",
    "serving",
    "training",
    "distillation",
    "evaluation",
    "inspecting",
    "planning",
    "search_server",
)
FLOWS = (
    "configuration",
    "process",
    "models",
    "prefect_api",
    "search_engines",
    "exporting",
    "stages",
    "importing",
    "checks",
    "evaluation",
    "monitoring",
    "execution",
    "training",
    "distillation",
    "deployments",
    "cli",
)
FOLDERS = {"pipeline": PIPELINE, "flows": FLOWS}
"""The folders of a layer, in the order of their imports: each imports from those before it alone."""
LOOSE = {
    "pipeline": {"__init__", "components", "devices", "errors", "stage"},
    "flows": {"__init__", "trainer_rewards"},
}
"""Modules of a layer outside its folders."""
MODULE_LINES = 300
FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}

SOURCES = sorted(path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))


def name_module(path: Path) -> str:
    root = API if path.is_relative_to(API) else REPOSITORY
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_module(path): path for path in SOURCES}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def find_imports(path: Path) -> Iterator[str]:
    """Every module that one imports, inside functions too."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            package = node.module or ""
            for alias in node.names:
                name = f"{package}.{alias.name}"
                yield name if name in MODULES else package


def find_circles(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """What is left when modules that import nothing that is left are taken away, again and again."""
    left = {module: set(names) & set(imports) - {module} for module, names in imports.items()}
    while free := [module for module, names in left.items() if not names]:
        left = {module: names.difference(free) for module, names in left.items() if names}
    return sorted(left)


def test_imports_go_one_way() -> None:
    wrong = []
    for module, path in MODULES.items():
        higher = {*LAYERS[LAYERS.index(module.split(".")[0]) + 1 :], "tests"}
        wrong += [f"{module} imports {name}" for name in find_imports(path) if name.split(".")[0] in higher]
    assert not wrong


def test_no_modules_import_each_other() -> None:
    assert not find_circles({module: find_imports(path) for module, path in MODULES.items()})


def test_a_circle_is_found() -> None:
    assert find_circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == ["a", "b", "c", "d"]
    assert find_circles({"a": ["b"], "b": ["c"], "c": []}) == []


def test_folders_import_in_one_order() -> None:
    wrong = []
    for module, path in MODULES.items():
        layer, *inner = module.split(".")
        if layer not in FOLDERS or not inner or inner[0] in LOOSE[layer]:
            continue
        allowed = {*FOLDERS[layer][: FOLDERS[layer].index(inner[0]) + 1], *LOOSE[layer]}
        inside = [name for name in find_imports(path) if name.startswith(f"{layer}.")]
        wrong += [f"{module} imports {name}" for name in inside if name.split(".")[1] not in allowed]
    assert not wrong


def test_layers_hold_folders_alone() -> None:
    for layer, folders in FOLDERS.items():
        found = {path.stem for path in (REPOSITORY / layer).glob("*.py")}
        assert found <= LOOSE[layer]
        packages = {path.parent.name for path in (REPOSITORY / layer).glob("*/__init__.py")}
        assert packages == set(folders)


def test_orchestration_stays_in_flows() -> None:
    outside = {module: path for module, path in MODULES.items() if not module.startswith("flows")}
    tools = {"prefect", "typer", "ray"}
    assert not [m for m, path in outside.items() if tools & {name.split(".")[0] for name in find_imports(path)}]


def test_modules_and_functions_stay_small() -> None:
    large = []
    for path in (*SOURCES, *TESTS):
        if path.read_text().count("\n") > MODULE_LINES:
            large.append(str(path))
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                large += [f"{path}: {node.name}: {length} lines"] if length > FUNCTION_LINES else []
    assert not large


def test_names_say_what_a_module_is() -> None:
    assert not [module for module in MODULES if module.split(".")[-1] in VAGUE_NAMES]
    silent = [m for m, path in MODULES.items() if path.name != "__init__.py" and not ast.get_docstring(parse(path))]
    assert not silent


def test_a_class_name_stands_for_one_thing() -> None:
    classes = (node.name for path in SOURCES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef))
    assert not {name: count for name, count in Counter(classes).items() if count > 1}
