"""Inspecting in the terminal: what is found, what is refused, what is skipped, and that no text can do anything."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from pipeline.errors import RampforgeError
from pipeline.inspecting.attempt_filter import AttemptFilter, Ending, SortKey
from pipeline.inspecting.attempt_pages import find_neighbours, read_page
from pipeline.inspecting.attempts_table import open_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import read_attempt
from pipeline.inspecting.readonly_database import ReadonlyDatabase
from pipeline.inspecting.shard_listing import list_shards
from pipeline.storage.seals import seal_file
from schemas.reachability import Reachability
from schemas.trajectories import HideMode, StopReason
from tests.support.inspect_samples import make_poisoned_run, make_run, write_dataset
from tests.support.report_samples import make_examples

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "harbour [light]")  # brackets mean something to those who match file names


def inspect(*words: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *words])


def open_run(run: Path) -> ReadonlyDatabase:
    return open_attempts(run)[0]


def test_summary_has_rows_funnel_and_reasons(run: Path) -> None:
    summary = json.loads(inspect(str(run), "--json").stdout)
    assert {one["name"]: one["rows"] for one in summary["datasets"]} == {
        "judgements": 24, "rejects": 9, "tasks": 24, "trajectories": 24,
    }  # fmt: skip
    assert summary["rejects"][0] == {"stage": "spans", "unit": "span", "reason": "in_title", "count": 6}
    assert sum(row["attempts"] for row in summary["acceptance"] if not row["masks"]) == 24
    assert "funnel" in inspect(str(run), "--markdown").stdout
    assert "too_short" in inspect(str(run)).stdout


@pytest.mark.parametrize("part", ["tasks", "tasks/part-0000.parquet"])
def test_a_dataset_or_a_shard_shows_its_schema(run: Path, part: str) -> None:
    shown = inspect(str(run / part)).stdout
    assert "masked_text" in shown
    assert "VARCHAR" in shown


def test_rows_are_found_by_condition_sample_and_id(run: Path) -> None:
    found = json.loads(inspect(str(run), "--where", "accepted AND masks = 1", "--json").stdout)
    assert found["rows"]
    assert all(row["accepted"] and row["masks"] == 1 for row in found["rows"])
    first, again, other = (
        json.loads(inspect(str(run), "--sample", "5", "--seed", seed, "--json").stdout)["rows"] for seed in "001"
    )
    assert len(first) == 5
    assert first == again != other
    rows = json.loads(inspect(str(run), "--row", "try003", "--json").stdout)
    assert {row["dataset"] for row in rows} == {"trajectories", "judgements"}


def test_what_lies_in_a_run_besides_its_datasets_is_no_dataset(run: Path) -> None:
    """Exports, in the usual place and in another, and the list of the spans that rounds have used."""
    before = set(list_shards(run).datasets)
    rows = list(make_examples(4))
    for name in ("exports/trl/sft/train", "exports/verl-rl/train", "mine/train", "mine/rejects", "round/used"):
        write_dataset(run / f"{name}.parquet", [example.task for example in rows])
    assert set(list_shards(run).datasets) == before
    assert not list_shards(run).broken
    assert set(list_shards(run / "exports").datasets) == {"trl_sft", "verl-rl"}


def test_a_condition_without_hits_tells_how_many_rows_were_looked_at(run: Path) -> None:
    found = json.loads(inspect(str(run), "--where", "masks = 77", "--json").stdout)
    assert (found["total"], found["searched"], found["rows"]) == (0, 24, [])
    assert re.findall(r"\d+", inspect(str(run), "--where", "masks = 77").stdout.splitlines()[0]) == ["0", "0", "24"]
    found = json.loads(inspect(str(run), "--dataset", "rejects", "--where", "reason = 'in_title'", "--json").stdout)
    assert (found["total"], found["searched"]) == (6, 9)
    whole = inspect(str(run), "--dataset", "rejects").stdout.splitlines()[0]
    assert re.findall(r"\d+", whole) == ["9", "9"]


@pytest.mark.parametrize(
    "where",
    [
        "true) UNION ALL SELECT * FROM read_csv('/etc/passwd'",
        "title IN (SELECT content FROM read_text('/etc/passwd'))",
        "true); COPY attempts TO '{out}'; SELECT (1",
        "true); ATTACH '{out}' AS other; SELECT (1",
        "true); INSTALL httpfs; SELECT (1",
        "true); SET enable_external_access = true; SELECT (1",
        "title IN (SELECT file FROM glob('/etc/*'))",
        "EXISTS (FROM read_parquet('{outside}'))",
        "EXISTS (FROM enable_logging('QueryLog', storage = 'file', storage_path = '{out}'))",
        "true --",
    ],
)
def test_a_condition_cannot_leave_the_folder(run: Path, tmp_path: Path, where: str) -> None:
    outside, out = make_run(tmp_path / "other") / "tasks" / "part-0000.parquet", tmp_path / "made"
    result = inspect(str(run), "--where", where.format(out=out, outside=outside), "--json")
    if where == "true --":  # a comment ends with its line: the rest of our statement still stands
        assert json.loads(result.stdout)["total"] == 24
    else:
        assert isinstance(result.exception, InspectError)
        assert "root:" not in result.output
    assert not out.exists()


def test_broken_files_are_named_and_the_rest_is_read(run: Path, tmp_path: Path) -> None:
    whole = (run / "tasks" / "part-0000.parquet").read_bytes()
    (run / "tasks" / "part-0007.parquet").write_bytes(whole[: len(whole) // 2])
    (run / "tasks" / "part-0008.parquet").write_bytes(b"")
    (run / "tasks" / ".part-0009.parquet.tmp").write_bytes(whole[:100])
    (run / "tasks" / "part-0010.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    (tmp_path / "elsewhere.parquet").write_bytes(whole)
    told = inspect(str(run), "--json")
    summary = json.loads(told.stdout)
    assert told.stderr.count("skipped") == 4
    assert {Path(one["name"]).name for one in summary["broken"]} == {
        "part-0007.parquet", "part-0008.parquet", ".part-0009.parquet.tmp", "part-0010.parquet",
    }  # fmt: skip
    assert next(one["rows"] for one in summary["datasets"] if one["name"] == "tasks") == 24


def test_a_damaged_shard_is_found_when_it_is_read(run: Path) -> None:
    shard = run / "trajectories" / "part-0001.parquet"
    content = bytearray(shard.read_bytes())
    content[40:1040] = bytes(byte ^ 0x5A for byte in content[40:1040])
    shard.write_bytes(content)
    result = inspect(str(run), "--where", "true", "--json")
    assert json.loads(result.stdout)["total"] == 12
    assert "trajectories/part-0001.parquet" in result.stderr
    database, _ = open_attempts(run)
    assert [Path(one.name).name for one in database.listing.broken] == ["part-0001.parquet"]


@pytest.mark.parametrize("options", [[], ["--json"], ["--markdown"], ["--sample", "9"], ["--row", "try001"]])
def test_poison_is_inert_in_a_terminal(tmp_path: Path, options: list[str]) -> None:
    shown = inspect(str(make_poisoned_run(tmp_path / "run")), *options)
    assert shown.exit_code == 0
    assert CONTROL.findall(shown.stdout) == []


def test_runs_are_compared(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other")
    (other / "rejects" / "part-spans-0000.parquet").unlink()
    differing = json.loads(inspect(str(run), "--diff", str(other), "--json").stdout)
    assert differing["rows"] == [{"what": "rejects", "left": "9", "right": None}]
    assert differing["settings"] == []
    record = json.loads((other / "run.json").read_text())
    record["fingerprints"]["engine"] = "another"
    (other / "run.json").write_bytes(seal_file(json.dumps(record).encode()))
    first = json.loads((run / "run.json").read_text())
    first["fingerprints"]["engine"] = "one"
    (run / "run.json").write_bytes(seal_file(json.dumps(first).encode()))
    assert isinstance(inspect(str(run), "--diff", str(other)).exception, InspectError)
    assert inspect(str(run), "--diff", str(other), "--force").exit_code == 0


@pytest.mark.parametrize("words", [["/no/such/path"], [".", "--row", "x", "--diff", "y"]])
def test_errors_are_one_line(words: list[str]) -> None:
    assert isinstance(inspect(*words).exception, RampforgeError)


@pytest.mark.parametrize("sort", list(SortKey))
@pytest.mark.parametrize("down", [False, True])
def test_pages_and_neighbours_have_one_order(run: Path, sort: SortKey, down: bool) -> None:
    database = open_run(run)
    wanted = AttemptFilter(sort=sort, down=down)
    pages = [read_page(database, wanted, number, 5).rows for number in range(1, 6)]
    order = [row["trajectory_id"] for page in pages for row in page]
    assert len(set(order)) == 24
    for before, here, after in zip([None, *order], order, [*order[1:], None], strict=False):
        found = find_neighbours(database, wanted, here)
        assert (found.before, found.after) == (before, after)


def test_filters_agree_with_the_rows_themselves(run: Path) -> None:
    database = open_run(run)
    every = read_page(database, AttemptFilter(), 1, 100).rows
    cases: list[tuple[AttemptFilter, Callable[[dict[str, Any]], bool]]] = [
        (AttemptFilter(ended=Ending.ACCEPTED), lambda row: bool(row["accepted"])),
        (AttemptFilter(ended=Ending.REJECTED, masks=2), lambda row: not row["accepted"] and row["masks"] == 2),
        (AttemptFilter(kind="date"), lambda row: "date" in row["kinds"]),
        (AttemptFilter(hide="page"), lambda row: row["hide"] == "page"),
        (AttemptFilter(min_f1=0.3, max_f1=0.8), lambda row: 0.3 <= row["f1"] <= 0.8),
        (AttemptFilter(words="PARAFFIN merrow"), lambda row: True),
        (AttemptFilter(words="parafin"), lambda row: False),
    ]
    for wanted, fits in cases:
        found = read_page(database, wanted, 1, 100).rows
        assert [row["trajectory_id"] for row in found] == [row["trajectory_id"] for row in every if fits(row)]
        assert AttemptFilter.model_validate(dict(parse_qsl(wanted.as_query()))) == wanted


def test_attempt_is_read_by_its_position(run: Path) -> None:
    database = open_run(run)
    for row in read_page(database, AttemptFilter(), 1, 100).rows:
        example = read_attempt(database, row["trajectory_id"])
        assert example.trajectory.trajectory_id == row["trajectory_id"]
        assert example.task.task_id == row["task_id"]
        assert example.judgement is not None
        assert example.judgement.accepted == row["accepted"]


def test_a_file_is_opened_as_well_as_its_folder(run: Path) -> None:
    assert list(list_shards(run / "tasks" / "part-0000.parquet").datasets) == ["tasks"]
    os.remove(run / "judgements" / "part-0000.parquet")
    assert read_page(open_run(run), AttemptFilter(ended=Ending.UNJUDGED), 1).total == 12


def test_summary_has_the_ceiling_of_an_oracle(run: Path) -> None:
    assert json.loads(inspect(str(run), "--json").stdout)["ceilings"] == {}
    plays = [
        Reachability(
            task_id=f"t{number}",
            passage_id=f"p{number}",
            mask_count=1 + number % 2,
            hide=HideMode.PASSAGE,
            reached=number > 1,
            stop_reason=StopReason.ANSWERED,
            turns=1,
            searches=1,
            pages=1,
            masks=(),
        )
        for number in range(5)
    ]
    write_dataset(run / "reachability" / "part-000-00000.parquet", plays)
    found = json.loads(inspect(str(run), "--json").stdout)["ceilings"]
    assert {part: (one["count"], one["of"]) for part, one in found.items()} == {
        "": (3, 5),
        "k=1": (2, 3),
        "k=2": (1, 2),
    }
