"""Runs on an object store: complete or absent there too, gone on with on any machine, the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StorageError
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import close_stage, discard_stage, open_stage
from schemas.documents import Redirect
from schemas.store_config import StoreConfig
from tests.pipeline.storage.test_shards import TITLES, Killed, RedirectStage, Title, plan
from tests.support.s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]

QUICK = StoreConfig(lease=2, patience=0, save_every=0.1)
OTHERS = [Title(name) for name in ("f", "xg", "h")]
SHARDS = {"000": TITLES, "001": OTHERS}


def do_stage(run: RunFolder) -> None:
    """A whole stage, as a job does it."""
    with run.locked("a test"):
        open_stage(run, "demo", {"seed": "0"}, None)
        for shard, titles in SHARDS.items():
            run_shard(ShardPlan(run, "demo", shard, (Redirect,), {"stage": "demo"}), RedirectStage(), titles)
        close_stage(run, "demo", SHARDS)


def read_store(url: str) -> dict[str, bytes | None]:
    """Everything that counts of a run, by key."""
    store = ObjectStore(url)
    return {key: store.read(key) for key in store.find() if not key.startswith(".leases")}


def read_folder(root: Path) -> dict[str, bytes | None]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}


def test_run_on_a_store_has_the_bytes_of_one_in_a_folder(s3: str, tmp_path: Path) -> None:
    do_stage(open_run(s3, tmp_path / "cache", QUICK))
    do_stage(RunFolder(tmp_path / "here"))
    assert read_store(s3) == read_folder(tmp_path / "here")


def kill_after(requests: int, patch: pytest.MonkeyPatch) -> None:
    """The process dies in the midst of a change of the store: before it, or after it and before it is told."""
    left = [requests]

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def make(self: ObjectStore, *args: Any) -> Any:
            keyed = not any(str(arg).startswith(".leases") for arg in args)
            if keyed and left[0] == 0:
                raise Killed
            done = change(self, *args)
            left[0] -= keyed
            if keyed and left[0] == 0:
                raise Killed
            return done

        return make

    for name in ("write", "upload"):
        patch.setattr(ObjectStore, name, dying(getattr(ObjectStore, name)))


def test_killed_at_any_request_the_run_goes_on_elsewhere_and_ends_the_same(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_stage(RunFolder(tmp_path / "here"))
    whole = read_folder(tmp_path / "here")
    for requests in range(1, 9):  # stage.json, two files and a commit for each of two shards, manifest.json
        url = f"{s3}/{requests}"
        with monkeypatch.context() as patch:
            kill_after(requests, patch)
            with pytest.raises(Killed):
                do_stage(open_run(url, tmp_path / f"one-{requests}", QUICK))
        there = read_store(url)
        assert there == {key: whole[key] for key in there}, "nothing half-made lies there"
        for shard in SHARDS:
            if f"ledger/demo/shards/{shard}.json" in there:
                assert f"redirects/part-{shard}.parquet" in there, "a commit comes after its rows"
        do_stage(open_run(url, tmp_path / f"two-{requests}", QUICK))
        assert read_store(url) == whole


def test_working_folder_is_dropped_when_another_machine_has_worked_since(s3: str, tmp_path: Path) -> None:
    first = open_run(s3, tmp_path / "one", QUICK)
    do_stage(first)
    (first.root / "redirects" / "stray").write_text("of an old state")
    calls = first.root / "calls" / "usage.jsonl"
    calls.parent.mkdir()
    calls.write_text('["paid"]\n')
    assert (open_run(s3, tmp_path / "one", QUICK).root / "redirects" / "stray").exists(), "nobody else was here"
    second = open_run(s3, tmp_path / "two", QUICK)
    with second.locked("another"):
        discard_stage(second, "demo")
    do_stage(second)
    again = open_run(s3, tmp_path / "one", QUICK)
    assert not (again.root / "redirects").exists()
    assert calls.read_text() == '["paid"]\n', "what was paid for is kept"
    fetched = again.files("redirects")
    assert sorted(path.name for path in fetched) == ["part-000.parquet", "part-001.parquet"]


def test_file_that_is_not_the_committed_one_is_refused(s3: str, tmp_path: Path) -> None:
    do_stage(open_run(s3, tmp_path / "one", QUICK))
    store, key = ObjectStore(s3), "redirects/part-000.parquet"
    whole = store.read(key)
    assert whole is not None
    store.write(key, whole[: len(whole) // 2])
    reader = open_run(s3, tmp_path / "two", QUICK)
    with pytest.raises(StorageError, match="not the file that was committed"):
        reader.part("redirects", "000", "demo")
    assert not (reader.root / key).exists()
    assert reader.part("redirects", "001", "demo").stat().st_size > 0
    store.delete([key])
    with pytest.raises(StorageError, match="not there"):
        reader.files("redirects")


def test_redo_takes_the_proof_away_first(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(s3, tmp_path / "one", QUICK)
    do_stage(run)
    removed: list[str] = []
    remove = ObjectStore._remove

    def note(self: ObjectStore, key: str) -> None:
        removed.append(key)
        remove(self, key)

    monkeypatch.setattr(ObjectStore, "_remove", note)
    with run.locked("a test"):
        discard_stage(run, "demo")
    ours = [key for key in removed if not key.startswith(".leases")]
    assert ours[0] == "ledger/demo/manifest.json"
    assert max(map(ours.index, ours[1:3])) < min(ours.index(key) for key in ours if key.endswith(".parquet"))
    assert read_store(s3) == {}
    do_stage(run)
    assert run.manifest("demo").rows("redirects") == 6


def test_death_between_the_two_writes_is_mended_either_way(s3: str, tmp_path: Path) -> None:
    run = open_run(s3, tmp_path / "one", QUICK)
    do_stage(run)
    manifest, commit = run.ledger("demo") / "manifest.json", run.ledger("demo") / "shards" / "001.json"
    manifest.unlink()  # the store had it, then the process died
    ObjectStore(s3).delete([run.mirror.key(commit) if run.mirror else ""])  # taken from the store, not yet from here
    with open_run(s3, tmp_path / "one", QUICK).locked("a test"):
        assert manifest.exists()
        assert not commit.exists()


def test_index_is_fetched_whole_and_only_what_differs(s3: str, tmp_path: Path) -> None:
    run = open_run(s3, tmp_path / "one", QUICK)
    with run.locked("a test"):
        for name, text in {"bm25/a": "one", "bm25/b": "two"}.items():
            (run.index / name).parent.mkdir(parents=True, exist_ok=True)
            (run.index / name).write_text(text)
        run.publish(run.index)
        there = open_run(s3, tmp_path / "two", QUICK)
        assert read_folder(there.fetch_index()) == read_folder(run.index)
        (run.index / "bm25/a").write_text("three")
        (run.index / "bm25/b").unlink()
        run.publish(run.index)
        assert read_folder(there.fetch_index()) == read_folder(run.index)
        assert json.loads((there.index / "files.json").read_bytes()).keys() == {"bm25/a"}


def test_process_whose_run_was_taken_over_commits_nothing(s3: str, tmp_path: Path) -> None:
    run = open_run(s3, tmp_path / "one", QUICK)
    with run.locked("a test"):
        ObjectStore(s3).write(".leases/00000099", b"{}")
        with pytest.raises(StorageError, match="taken this run over"):
            run_shard(ShardPlan(run, "demo", "000", (Redirect,), {"stage": "demo"}), RedirectStage(), TITLES)
    assert "ledger/demo/shards/000.json" not in read_store(s3)


def test_local_run_asks_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectStore, "__init__", lambda *_: pytest.fail("a store was opened"))
    run = open_run(tmp_path / "run", tmp_path)
    with run.locked():
        run_shard(plan(run.root), RedirectStage(), TITLES)
    assert (run.location, run.name) == (str(tmp_path / "run"), "run")
    assert open_run(f"file://{tmp_path}/run", tmp_path).root == run.root
