"""Journals, shards and ledgers: complete or absent, the same bytes, nothing lost and nothing doubled."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, StorageError
from pipeline.masking.redirect_aliases import find_aliases
from pipeline.stage import Outcome
from pipeline.storage import shards
from pipeline.storage.hashing import hash_file
from pipeline.storage.journal import Journal
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.shards import ShardWriter, read_rows
from pipeline.storage.stage_ledger import close_stage, discard_stage, open_stage
from schemas.documents import Redirect
from schemas.funnel import FunnelStep, Reject


@dataclass(frozen=True)
class Title:
    """An input."""

    key: str


class Killed(BaseException):
    """Stands for the death of the process."""


class RedirectStage:
    """Makes a redirect of each title, rejects those that start with `x`, dies before the n-th input."""

    whole_shard = False

    def __init__(self, dies_before: int | None = None) -> None:
        self.dies_before = dies_before
        self.worked: list[str] = []

    def run(self, inputs: Iterable[Title]) -> Iterator[Outcome]:
        for number, title in enumerate(inputs):
            if number == self.dies_before:
                raise Killed
            self.worked.append(title.key)
            yield make_outcome(title.key)


def make_outcome(key: str) -> Outcome:
    if key.startswith("x"):
        reject = Reject(stage="demo", unit="title", input_id=key, reason="bad", detail="")
        return Outcome(key, (reject,), (count(0, {"bad": 1}),))
    return Outcome(key, (Redirect(redirect_id=key, lang="en", title=key, target="T"),), (count(1, {}),))


def count(passed: int, rejected: dict[str, int]) -> FunnelStep:
    entered = passed + sum(rejected.values())
    return FunnelStep(stage="demo", unit="title", entered=entered, passed=passed, rejected=rejected)


def plan(root: Path) -> ShardPlan:
    return ShardPlan(RunFolder(root), "demo", "000", (Redirect,), {"stage": "demo"})


MODELS = plan(Path()).models
TITLES = [Title(name) for name in ("a", "b", "xc", "d", "e")]


def test_interrupted_shard_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run_shard(plan(tmp_path / "whole"), RedirectStage(), TITLES)
    for dies_before in range(len(TITLES)):
        root = tmp_path / f"cut{dies_before}"
        with pytest.raises(Killed):
            run_shard(plan(root), RedirectStage(dies_before), TITLES)
        assert not list(root.glob("*/part-*"))
        second = RedirectStage()
        assert run_shard(plan(root), second, TITLES) == whole
        assert second.worked == [title.key for title in TITLES[dies_before:]]
        assert run_shard(plan(root), RedirectStage(0), TITLES) == whole, "a finished shard is not worked on again"


@given(cut=st.integers(0, 400))
def test_torn_journal_loses_only_its_last_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    root = tmp_path_factory.mktemp("torn")
    path = root / "journal.jsonl"
    with Journal(path) as journal:
        for title in TITLES:
            journal.record(make_outcome(title.key))
    lines = path.read_bytes().splitlines(keepends=True)
    torn = path.read_bytes()[:cut]
    path.write_bytes(torn)
    whole = sum(1 for i in range(1, len(lines) + 1) if len(b"".join(lines[:i])) <= len(torn))
    with Journal(path) as journal:
        assert journal.keys == {title.key for title in TITLES[:whole]}
        for title in TITLES[whole:]:
            journal.record(make_outcome(title.key))
    assert path.read_bytes() == b"".join(lines)


def test_funnel_sums_and_repeats_are_named(tmp_path: Path) -> None:
    commit = run_shard(plan(tmp_path), RedirectStage(), [*TITLES, Title("a"), Title("a")])
    steps = {step.unit: step for step in commit.funnel}
    assert (steps["title"].entered, steps["title"].passed, steps["title"].rejected) == (5, 4, {"bad": 1})
    assert steps["input"].rejected == {"repeated": 2}
    rejects = (
        duckdb.connect()
        .execute(f"SELECT reason, count(*) FROM '{tmp_path}/rejects/*.parquet' GROUP BY 1 ORDER BY 1")
        .fetchall()
    )
    assert rejects == [("bad", 1), ("repeated", 2)]
    assert commit.rows("redirects") == 4
    assert commit.inputs == 7


def test_funnel_step_that_does_not_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="entered"):
        FunnelStep(stage="s", unit="u", entered=3, passed=1, rejected={"r": 1})


def test_a_stage_that_forgets_an_input_is_caught(tmp_path: Path) -> None:
    class Forgetful(RedirectStage):
        def run(self, inputs: Iterable[Title]) -> Iterator[Outcome]:
            for title in inputs:
                if title.key != "b":
                    yield make_outcome(title.key)

    with pytest.raises(StorageError, match="no outcome for 1 inputs"):
        run_shard(plan(tmp_path), Forgetful(), TITLES)


def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards, "replace_atomically", fill)
    with pytest.raises(StorageError, match="disk is full") as caught:
        run_shard(plan(tmp_path), RedirectStage(), TITLES)
    assert "rampforge resume" in caught.value.fix
    monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".tmp")] == []
    second = RedirectStage()
    run_shard(plan(tmp_path), second, TITLES)
    assert second.worked == [], "what was journalled before the disk filled is not done again"


def test_two_writers_of_one_journal_are_kept_apart(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl"), pytest.raises(StorageError, match="another process"):
        Journal(tmp_path / "j.jsonl")


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    with RunFolder(tmp_path).locked(), pytest.raises(StorageError, match="at work"), RunFolder(tmp_path).locked():
        pass


def test_changed_settings_are_refused_and_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    open_stage(run, "demo", {"search.k": "5", "seed": "0"}, None)
    run_shard(plan(tmp_path), RedirectStage(), TITLES)
    open_stage(run, "demo", {"seed": "0", "search.k": "5"}, None)
    with pytest.raises(ConfigError, match=r"search\.k was 5, now 6") as caught:
        open_stage(run, "demo", {"search.k": "6", "seed": "0"}, None)
    assert "seed" not in caught.value.what
    assert "--redo demo" in caught.value.fix
    with pytest.raises(StorageError, match="other shards"):
        open_stage(run, "demo", {"search.k": "5", "seed": "0"}, "abc")


def test_discarded_stage_leaves_no_rows(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    open_stage(run, "demo", {}, None)
    run_shard(plan(tmp_path), RedirectStage(), TITLES)
    close_stage(run, "demo", ["000"])
    assert run.manifest("demo").rows("redirects") == 4
    discard_stage(run, "demo")
    assert list(tmp_path.rglob("*.parquet")) == []
    with pytest.raises(StorageError):
        run.manifest("demo")


def test_a_stage_with_a_missing_shard_is_not_closed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    open_stage(run, "demo", {}, None)
    run_shard(plan(tmp_path), RedirectStage(), TITLES)
    with pytest.raises(StorageError, match="lacks shards 001"):
        close_stage(run, "demo", ["000", "001"])


def write_redirects(folder: Path, name: str, rows: list[tuple[str, str]]) -> Any:
    with ShardWriter(folder, name, Redirect, {"stage": "demo"}) as writer:
        for title, target in rows:
            redirect = Redirect(redirect_id=title, lang="en", title=title, target=target)
            writer.append(redirect.model_dump(mode="json"))
        return writer.close()


def test_shard_round_trip_and_checksum(tmp_path: Path) -> None:
    entry = write_redirects(tmp_path, "part-0.parquet", [("a", "T"), ("b", "T")])
    assert entry.sha256 == hash_file(tmp_path / "part-0.parquet")
    assert [row.title for row in read_rows(tmp_path / "part-0.parquet", Redirect)] == ["a", "b"]
    metadata = pq.read_schema(tmp_path / "part-0.parquet").metadata
    assert metadata[b"rampforge.dataset"] == b"redirects"
    with pytest.raises(StorageError, match="holds redirects of schema version 1; this needs rejects"):
        list(read_rows(tmp_path / "part-0.parquet", Reject))
    with pytest.raises(StorageError, match="schema version 99"):
        list(read_rows(make_version(tmp_path, b"99"), Redirect))


def make_version(folder: Path, version: bytes) -> Path:
    table = pq.read_table(folder / "part-0.parquet")
    path = folder / "other.parquet"
    metadata = {**table.schema.metadata, b"rampforge.schema_version": version}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_half_a_shard_is_named(tmp_path: Path) -> None:
    write_redirects(tmp_path, "part-0.parquet", [("a", "T")])
    broken = tmp_path / "part-1.parquet"
    broken.write_bytes((tmp_path / "part-0.parquet").read_bytes()[:-20])
    with pytest.raises(StorageError, match=r"part-1\.parquet: damaged"):
        list(read_rows(broken, Redirect))
    broken.write_bytes(b"\x07" * 5000)
    with pytest.raises(StorageError, match=r"part-1\.parquet: damaged"):
        list(read_rows(broken, Redirect))
    with pytest.raises(StorageError, match=r"part-2\.parquet: missing") as caught:
        list(read_rows(tmp_path / "part-2.parquet", Redirect))
    assert f"rampforge verify {tmp_path.parent} --repair" in caught.value.fix


def test_aliases_are_found_over_all_files(tmp_path: Path) -> None:
    write_redirects(tmp_path, "part-0.parquet", [("USA", "United States"), ("UK", "United Kingdom")])
    write_redirects(tmp_path, "part-1.parquet", [("America", "United States"), ("USA", "United States")])
    assert find_aliases(sorted(tmp_path.iterdir()), ["United States", "France"]) == {
        "United States": ("America", "USA")
    }
    assert find_aliases([], ["United States"]) == {}
