"""Runs of older schema versions become runs of today: whole, the same ids, books that fit, killed at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from pipeline.errors import StorageError
from pipeline.stage import Outcome
from pipeline.storage import migration as run_migration
from pipeline.storage.hashing import hash_file
from pipeline.storage.migration import find_outdated, migrate_run
from pipeline.storage.migrations import MIGRATIONS, Migration, find_chain
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import close_stage, digest_manifest, open_stage
from schemas.documents import Redirect
from schemas.funnel import Reject
from schemas.record import Record
from schemas.store_config import StoreConfig
from tests.pipeline.storage.test_shards import TITLES, Killed, RedirectStage, make_outcome
from tests.support.s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]


class RedirectLater(Record):
    """Redirects as they might be two versions on: the target split, a new column."""

    dataset: ClassVar[str] = "redirects"
    id_field: ClassVar[str] = "redirect_id"
    version: ClassVar[int] = 3

    redirect_id: str
    """The id."""
    lang: str
    """Language."""
    title: str
    """From."""
    page: str
    """To: the page."""
    section: str
    """To: the section."""
    note: str = "none"
    """New."""


def rename(row: dict[str, Any]) -> dict[str, Any]:
    row["page"] = row.pop("target")
    return row


STEPS = (
    Migration("redirects", 2, "a section of its own", lambda row: {**row, "section": ""}),
    Migration("redirects", 1, "target is called page", rename),
)
LATER: dict[str, type[Record]] = {"redirects": RedirectLater, "rejects": Reject}


def make_run(run: RunFolder) -> RunFolder:
    """Two stages, the second made from the first."""
    with run.locked():
        open_stage(run, "demo", {"seed": "0"}, None)
        for shard in ("000", "001"):
            run_shard(ShardPlan(run, "demo", shard, (Redirect,), {"stage": "demo"}), RedirectStage(), TITLES)
        first = close_stage(run, "demo", ["000", "001"])
        settings = {"seed": "0", "made of": digest_manifest(first)}
        open_stage(run, "next", settings, digest_manifest(first))
        run_shard(ShardPlan(run, "next", "000", (), {"stage": "next"}), RejectAll(), TITLES)
        close_stage(run, "next", ["000"])
    return run


class RejectAll(RedirectStage):
    """Makes nothing of anything."""

    def run(self, inputs: Any) -> Any:
        for title in inputs:
            outcome = make_outcome("x" + title.key)
            yield Outcome(title.key, outcome.rows, outcome.funnel)


def check_migrated(run: RunFolder) -> None:
    """Every file is of today, every book tells of it, and both stages go on as finished."""
    for stage in ("demo", "next"):
        assert run.manifest(stage).shards == tuple(run.commits(stage))
        for commit in run.commits(stage):
            for file in commit.files:
                path = run.part(file.dataset, commit.shard, stage)
                assert (hash_file(path), path.stat().st_size) == (file.sha256, file.bytes)
    rows = list(read_rows(run.part("redirects", "000", "demo"), RedirectLater))
    assert [(row.redirect_id, row.page, row.section, row.note) for row in rows] == [
        (key, "T", "", "none") for key in ("a", "b", "d", "e")
    ]
    upstream = digest_manifest(run.manifest("demo"))
    open_stage(run, "demo", {"seed": "0"}, None)
    open_stage(run, "next", {"seed": "0", "made of": upstream}, upstream)


def test_chain_of_steps_rewrites_what_is_old_and_mends_the_books(tmp_path: Path) -> None:
    run = make_run(RunFolder(tmp_path))
    rejects = {path.name: hash_file(path) for path in run.dataset("rejects").iterdir()}
    found = find_outdated(run, ("demo", "next"), LATER, STEPS)
    assert [(item.stage, item.shard, item.version, item.says) for item in found] == [
        ("demo", shard, 1, ("target is called page", "a section of its own")) for shard in ("000", "001")
    ]
    migrate_run(run, ("demo", "next"), LATER, STEPS)
    check_migrated(run)
    assert {path.name: hash_file(path) for path in run.dataset("rejects").iterdir()} == rejects
    metadata = pq.read_schema(run.part("redirects", "000", "demo")).metadata
    assert metadata[b"rampforge.migrated_from"] == b"1"
    assert metadata[b"rampforge.schema_version"] == b"3"
    assert metadata[b"rampforge.stage"] == b"demo"
    assert migrate_run(run, ("demo", "next"), LATER, STEPS) == []


def test_killed_at_any_write_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_run(RunFolder(tmp_path / "whole"))
    migrate_run(whole, ("demo", "next"), LATER, STEPS)
    expected = read(whole.root)
    deaths = 0
    for moment in range(100):
        run = make_run(RunFolder(tmp_path / str(moment)))
        left = [moment]

        def die(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            for owner, name in ((RunFolder, "write"), (RunFolder, "publish"), (run_migration, "migrate_row")):
                patch.setattr(owner, name, dying(getattr(owner, name), die))
            try:
                migrate_run(run, ("demo", "next"), LATER, STEPS)
            except Killed:
                deaths += 1
        migrate_run(run, ("demo", "next"), LATER, STEPS)
        assert read(run.root) == expected, moment
        check_migrated(run)
        if left[0] >= 0:
            break
    assert deaths > 12


def dying(work: Any, die: Any) -> Any:
    def do(*args: Any) -> Any:
        die()
        return work(*args)

    return do


def read(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_new_column_alone_is_filled_in(tmp_path: Path) -> None:
    class RedirectWithNote(Redirect):
        note: str | None = None

    run = make_run(RunFolder(tmp_path))
    models: dict[str, type[Record]] = {"redirects": RedirectWithNote, "rejects": Reject}
    (first, _) = migrate_run(run, ("demo", "next"), models)
    assert first.says == ()
    assert "note" in pq.read_schema(run.part("redirects", "000", "demo")).names


def test_run_on_a_store_is_migrated_there(s3: str, tmp_path: Path) -> None:
    settings = StoreConfig(lease=2, patience=0)
    run = make_run(open_run(s3, tmp_path / "one", settings))
    with run.locked():
        migrate_run(run, ("demo", "next"), LATER, STEPS)
    check_migrated(open_run(s3, tmp_path / "two", settings))
    assert ObjectStore(s3).read("ledger/migration.json") is None


@pytest.mark.parametrize(
    ("version", "steps", "said"),
    [(4, STEPS, "knows up to 3"), (1, STEPS[:1], "no way from 1 to 2"), (2, (), "no way from 2 to 3")],
)
def test_version_that_cannot_be_reached_is_refused(version: int, steps: tuple[Migration, ...], said: str) -> None:
    with pytest.raises(StorageError, match=said):
        find_chain(RedirectLater, version, steps)


def test_step_that_changes_an_id_or_makes_no_row_leaves_the_file_alone(tmp_path: Path) -> None:
    run = make_run(RunFolder(tmp_path))
    before = read(run.root)
    for change in (lambda row: {**row, "redirect_id": "other"}, lambda row: {"redirect_id": row["redirect_id"]}):
        steps = (Migration("redirects", 1, "wrong", change), STEPS[0])
        with pytest.raises(StorageError, match="cannot be migrated"):
            migrate_run(run, ("demo", "next"), LATER, steps)
    after = read(run.root)
    assert {name: after[name] for name in before} == before


def test_every_step_leads_to_a_version_that_there_is() -> None:
    from flows.stages.registry import list_models

    models = list_models()
    for step in MIGRATIONS:
        assert step.version < models[step.dataset].version
    for model in models.values():
        find_chain(model, 1, MIGRATIONS)
