"""What `rampforge gc` names: leftovers and old things of our own, never what is at work, paid for or not ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.storage.garbage import DAY, GarbageKind, find_garbage, remove_garbage
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import open_stage
from schemas.config import RunConfig
from schemas.documents import Redirect
from schemas.ledger import RunRecord
from tests.pipeline.storage.test_shards import TITLES, Killed, RedirectStage

NAMES = ("redirects", "rejects")


def make_run(root: Path) -> RunFolder:
    """A run with one finished shard and one that was killed on its way."""
    run = RunFolder(root)
    open_stage(run, "demo", {}, None)
    run_shard(ShardPlan(run, "demo", "000", (Redirect,), {"stage": "demo"}), RedirectStage(), TITLES)
    with pytest.raises(Killed):
        run_shard(ShardPlan(run, "demo", "001", (Redirect,), {"stage": "demo"}), RedirectStage(dies_before=2), TITLES)
    record = RunRecord(
        run=root.name,
        version="0",
        revision=None,
        packages={},
        config=RunConfig().model_dump(mode="json"),
        **{name: {} for name in ("sources", "models", "prompts", "fingerprints")},
        funnel=(),
        timings=(),
        tokens=0,
        cost=0.0,
    )
    run.write_record(root / "run.json", record)
    return run


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def age(folder: Path, days: float) -> None:
    """Nobody has touched anything in it for so long."""
    then = time.time() - days * DAY
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then))


def find(tmp_path: Path, *, runs: bool = False, days: float = 30) -> set[tuple[GarbageKind, str]]:
    found = find_garbage(tmp_path / "outputs", tmp_path / "cache", NAMES, time.time(), days, runs=runs)
    return {(item.kind, item.path.relative_to(tmp_path).as_posix()) for item in found}


def test_leftovers_are_found_and_what_resume_needs_is_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "demo")
    assert find(tmp_path) == set(), "the journal of the killed shard is owed"
    write(run.root / "redirects" / ".part-002.parquet.tmp")
    write(run.root / "redirects" / "part-009.parquet")
    write(run.root / "journals" / "demo" / "000.jsonl")
    write(run.root / ".duplicates-abc" / "scratch")
    write(run.root / "live" / "demo.json")
    write(run.root / "calls" / "demo" / "000.jsonl")
    write(run.root / "notes" / "part-1.parquet")
    write(tmp_path / "outputs" / "not-a-run" / ".x.tmp")
    expected = {
        (GarbageKind.TEMPORARY, "outputs/demo/redirects/.part-002.parquet.tmp"),
        (GarbageKind.ORPHAN, "outputs/demo/redirects/part-009.parquet"),
        (GarbageKind.JOURNAL, "outputs/demo/journals/demo/000.jsonl"),
        (GarbageKind.TEMPORARY, "outputs/demo/.duplicates-abc"),
        (GarbageKind.LIVE, "outputs/demo/live"),
    }
    assert find(tmp_path) == expected
    found = find_garbage(tmp_path / "outputs", tmp_path / "cache", NAMES, time.time(), 30, runs=True)
    assert len(remove_garbage(found)) == 5
    assert find(tmp_path) == set()
    again = run_shard(ShardPlan(run, "demo", "001", (Redirect,), {"stage": "demo"}), RedirectStage(), TITLES)
    assert again.rows("redirects") == 4
    assert (run.root / "calls" / "demo" / "000.jsonl").exists()


def test_run_at_work_is_left_alone_even_when_it_begins_after_the_look(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "demo")
    write(run.root / "redirects" / ".x.tmp")
    age(run.root, 90)
    with run.locked():
        assert find(tmp_path, runs=True) == set()
    found = find_garbage(tmp_path / "outputs", tmp_path / "cache", NAMES, time.time(), 30, runs=True)
    assert [item.kind for item in found] == [GarbageKind.RUN]
    with run.locked():
        assert remove_garbage(found) == []
    assert run.find_record() is not None


def test_old_runs_go_only_when_asked_for_and_links_are_not_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere" / "demo")
    age(run.root, 90)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "link").symlink_to(run.root)
    assert find(tmp_path, runs=True) == set()
    mine = make_run(outputs / "mine")
    age(mine.root, 90)
    assert find(tmp_path) == set()
    assert find(tmp_path, runs=True) == {(GarbageKind.RUN, "outputs/mine")}
    assert find(tmp_path, runs=True, days=100) == set()


def test_run_whose_books_cannot_be_read_keeps_everything(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "demo")
    write(run.root / "redirects" / "part-009.parquet")
    write(run.ledger("demo") / "shards" / "000.json", "torn")
    assert find(tmp_path) == set()


def test_working_folders_and_copies_go_when_old_but_not_what_was_paid_for(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for folder in ("runs/bucket-run-1", "copies/abc"):
        for name in (".session", "redirects/part-0.parquet", "calls/demo/0.jsonl"):
            write(cache / folder / name)
    assert find(tmp_path) == set()
    age(cache, 40)
    assert find(tmp_path) == {
        (GarbageKind.WORKING, "cache/runs/bucket-run-1/redirects"),
        (GarbageKind.COPY, "cache/copies/abc"),
    }


def test_command_removes_nothing_until_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path / "cache"))
    run = make_run(tmp_path / "outputs" / "demo")
    leftover = write(run.root / "redirects" / ".x.tmp")
    shown = CliRunner().invoke(app, ["gc", str(tmp_path / "outputs")])
    assert "nothing was removed" in shown.output
    assert leftover.exists()
    done = CliRunner().invoke(app, ["gc", str(tmp_path / "outputs"), "--delete"])
    assert done.exit_code == 0
    assert not leftover.exists()
    assert run.find_commit("demo", "000") is not None
