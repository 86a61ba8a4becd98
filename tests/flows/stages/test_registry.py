"""The registry of the stages: complete, in an order that their inputs allow, and the one place that names them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
import typer

from flows.cli.app import app
from flows.stages.registry import STAGES, find_spec, list_commands, list_from, list_models
from pipeline.errors import StorageError
from schemas.config import StageName
from tests.test_code_shape import SOURCES, parse

OF_A_STAGE = {"commits", "find_commit", "find_manifest", "find_part", "find_spec", "find_start", "find_step", "journal"}
OF_A_STAGE |= {"ledger", "list_from", "live_shard", "live_stage", "manifest", "open_model", "part", "shard", "start"}
OF_A_STAGE |= {"close_stage", "discard_stage", "list_files", "open_stage", "share_limit"}
"""Functions that take the name of a stage."""


def test_every_name_has_a_stage_and_inputs_come_first() -> None:
    assert list(STAGES) == list(StageName)
    earlier: set[StageName] = set()
    for name, spec in STAGES.items():
        assert spec.name is name
        assert set(spec.inputs) <= earlier
        earlier.add(name)


def test_only_the_first_stage_has_no_input() -> None:
    assert [name for name, spec in STAGES.items() if not spec.inputs] == [StageName.CORPUS]


def test_a_dataset_has_one_writer() -> None:
    written = [model for spec in STAGES.values() for model in (*spec.outputs, *spec.optional_outputs)]
    assert len(list_models()) == len(written) + 1, "and the rejects"


def test_each_stage_is_run_by_one_command() -> None:
    commands = list_commands()
    assert [spec for specs in commands.values() for spec in specs] == list(STAGES.values())
    group = typer.main.get_command(app)
    assert set(commands) <= set(getattr(group, "commands", {}))


def test_a_stage_and_all_after_it() -> None:
    names = list(StageName)
    assert list_from("judgements") == names[names.index(StageName.JUDGEMENTS) :]
    with pytest.raises(StorageError):
        list_from("judge")
    assert find_spec("chunk") is STAGES[StageName.CHUNK]


def find_literals(tree: ast.Module) -> Iterator[int]:
    """Lines that name a stage by a string."""
    for node in ast.walk(tree):
        named: list[ast.expr] = []
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                named += node.args if name in OF_A_STAGE else []
                named += [word.value for word in node.keywords if word.arg == "stage"]
            case ast.Compare(left=ast.Name(id=name) | ast.Attribute(attr=name)) if "stage" in name.lower():
                named += node.comparators
            case ast.Assign(targets=[ast.Name(id=name)]) if "STAGE" in name:
                named.append(node.value)
        for part in named:
            constants = (inner for inner in ast.walk(part) if isinstance(inner, ast.Constant))
            yield from (constant.lineno for constant in constants if constant.value in set(StageName))


def test_stages_are_named_by_the_enum() -> None:
    assert len(list(find_literals(ast.parse("run.manifest('spans'), x.stage == 'spans', f(stage='spans')")))) == 3
    assert not [f"{path}:{line}" for path in SOURCES for line in find_literals(parse(path))]
