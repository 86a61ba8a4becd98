"""The example notebook: every cell runs, and what a notebook would show of it is safe to show.

A notebook is cells run one after the other in one namespace, the last expression shown by its `_repr_html_`: that much
needs no kernel, so none is installed for it.
"""

from __future__ import annotations

import ast
import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from pipeline.inspecting.notebook import RunReader, TrajectoryCard
from tests.support.inspect_samples import POISON, make_poisoned_run, make_run
from tests.support.places import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "tests" / "notebooks").glob("*.ipynb"))


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), namespace)  # noqa: S102  # our own notebook
        return None
    tree.body.pop()
    exec(compile(tree, "cell", "exec"), namespace)  # noqa: S102  # our own notebook
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)  # noqa: S307  # the same


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN", str(make_run(tmp_path / "run")))
    namespace: dict[str, Any] = {}
    cells = json.loads(path.read_text("utf-8"))["cells"]
    shown = [run_cell(cell["source"], namespace) for cell in cells if cell["cell_type"] == "code"]
    assert sum(isinstance(value, TrajectoryCard) for value in shown) == 2
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")  # no data of anybody's run
    assert "acceptance" in shown[0]._repr_html_()


def test_a_card_cannot_leave_its_frame(tmp_path: Path) -> None:
    run = RunReader(make_poisoned_run(tmp_path / "run"))
    card = run["try001"]
    html = card._repr_html_()
    assert html.startswith('<iframe sandbox="" ')
    assert html.count("<") == 2  # the frame's own two tags
    assert "<script" not in unescape(html)
    assert "<script" not in run._repr_html_()
    assert POISON not in html
    assert len(run.attempts()) == 6
    assert "try001" in repr(card)
