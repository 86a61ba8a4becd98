"""What was paid for reaches the store as it grows, and comes back on any machine; copies of what lies on a store."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.configuration.provenance import fingerprint_sources
from flows.configuration.run_context import RunContext
from flows.configuration.sources import bring_source, find_sources
from pipeline.corpus.readers.opening import expand_sources
from pipeline.errors import StorageError
from pipeline.storage.jsonl import JsonlLog
from pipeline.storage.remote.log_backup import LogBackup
from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.remote.transfer import copy_folder, copy_object, list_objects, put_when_done
from pipeline.storage.run_folder import RunFolder
from schemas.config import CorpusConfig, RunConfig
from schemas.store_config import StoreConfig
from tests.support.s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]

QUICK = StoreConfig(lease=2, patience=0, save_every=0.05)
CALLS = "calls/trajectories/000.jsonl"


def mirror_of(url: str, root: Path) -> WorkingCopy:
    root.mkdir(parents=True, exist_ok=True)
    return WorkingCopy(url, root, QUICK)


def call(name: str) -> bytes:
    return b'{"key":"%b"}\n' % name.encode()


def append(root: Path, *lines: bytes) -> Path:
    path = root / CALLS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(lines)
    return path


def restore(url: str, root: Path, *, trusted: bool = False) -> LogBackup:
    saver = LogBackup(mirror_of(url, root))
    saver.restore(trusted=trusted)
    return saver


def test_calls_of_a_machine_that_died_are_there_on_the_next(s3: str, tmp_path: Path) -> None:
    one = open_run(s3, tmp_path / "one", QUICK)
    with one.locked("one"):
        append(one.root, call("a"), call("b"), b'{"key":"torn')
        deadline = time.monotonic() + 30
        while not ObjectStore(s3).find("calls") and time.monotonic() < deadline:
            time.sleep(0.02)
        saved = ObjectStore(s3).find("calls")
    assert [entry.size for entry in saved.values()] == [len(call("a") + call("b"))], "a torn line is not saved"
    two = open_run(s3, tmp_path / "two", QUICK)
    with two.locked("two"):
        assert (two.root / CALLS).read_bytes() == call("a") + call("b")
        with JsonlLog(two.root / CALLS) as log:
            log.append("c", call("c"))
    assert b"".join(ObjectStore(s3).read(key) or b"" for key in ObjectStore(s3).find("calls")).count(b"\n") == 3


def test_logs_that_grew_apart_come_together_without_loss(s3: str, tmp_path: Path) -> None:
    append(tmp_path / "one", call("a"))
    saver = restore(s3, tmp_path / "one")
    saver.save()
    append(tmp_path / "one", call("only-one"))  # and dies before it is saved
    other = restore(s3, tmp_path / "two")
    append(tmp_path / "two", call("only-two"))
    other.save()
    again = restore(s3, tmp_path / "one")
    assert (tmp_path / "one" / CALLS).read_bytes() == call("a") + call("only-two") + call("only-one")
    again.save()
    restore(s3, tmp_path / "three")
    assert (tmp_path / "three" / CALLS).read_bytes() == (tmp_path / "one" / CALLS).read_bytes()


def test_machine_that_was_taken_for_dead_does_not_write_over_the_other(s3: str, tmp_path: Path) -> None:
    one, two = restore(s3, tmp_path / "one"), restore(s3, tmp_path / "two")
    append(tmp_path / "one", call("a"))
    append(tmp_path / "two", call("b"))
    two.save()
    with pytest.raises(StorageError, match="taken this run over"):
        one.save()
    assert [ObjectStore(s3).read(key) for key in ObjectStore(s3).find("calls")] == [call("b")]


steps = st.lists(st.one_of(st.just("save"), st.just("restart"), st.integers(1, 5)), max_size=12)


@given(steps)
def test_pieces_joined_are_always_how_the_log_begins(history: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, url = Path(folder), f"memory://{folder}"
        saver, written = restore(url, root), 0
        for step in [*history, "save"]:
            if isinstance(step, int):
                append(root, *(call(f"k{written + number}") for number in range(step)))
                written += step
            elif step == "save":
                saver.save()
            else:
                saver = restore(url, root, trusted=True)
            store = ObjectStore(url)
            there = b"".join(store.read(key) or b"" for key in store.find("calls"))
            ours = (root / CALLS).read_bytes() if written else b""
            assert ours.startswith(there)
        assert there == ours


def test_sources_on_a_store_are_found_fingerprinted_and_read_like_local_ones(s3: str, tmp_path: Path) -> None:
    store, names = ObjectStore(s3), ("a.jsonl", "b.jsonl", "_SUCCESS")
    for name in names:
        (tmp_path / "here").mkdir(exist_ok=True)
        (tmp_path / "here" / name).write_text('{"title": "T", "text": "x"}\n' * 50_000)
        store.upload(tmp_path / "here" / name, f"in/{name}")
    here = expand_sources(CorpusConfig(sources=(str(tmp_path / "here"),)))
    for address in (f"{s3}/in", f"{s3}/in/", f"{s3}/in/*.jsonl"):
        config = RunConfig.model_validate({"corpus": {"sources": [address]}})
        context = RunContext(RunFolder(tmp_path), config, tmp_path / "cache")
        found = find_sources(context)
        assert found == [f"{s3}/in/a.jsonl", f"{s3}/in/b.jsonl"]
        assert fingerprint_sources(found) == fingerprint_sources(here)
        assert [Path(bring_source(context, url)).read_bytes() for url in found] == [Path(h).read_bytes() for h in here]
    with pytest.raises(StorageError, match="nothing is there"):
        list_objects(f"{s3}/nowhere")


def test_copy_is_fetched_once_and_anew_when_the_object_changes(s3: str, tmp_path: Path) -> None:
    store = ObjectStore(s3)
    store.write("data/x.txt", b"one")
    first = copy_object(f"{s3}/data/x.txt", tmp_path)
    assert copy_object(f"{s3}/data/x.txt", tmp_path) == first
    store.write("data/x.txt", b"two")
    assert copy_object(f"{s3}/data/x.txt", tmp_path).read_bytes() == b"two"
    store.write("data/deep/y.txt", b"three")
    folder = copy_folder(f"{s3}/data", tmp_path)
    assert folder.name == "data"
    assert (folder / "deep" / "y.txt").read_bytes() == b"three"


def test_what_is_written_goes_to_the_store_only_when_it_is_whole(s3: str, tmp_path: Path) -> None:
    with suppress(InterruptedError), put_when_done(f"{s3}/out", tmp_path / "cache") as folder:
        folder.mkdir()
        (folder / "half").write_text("x")
        raise InterruptedError
    assert ObjectStore(s3).find() == {}
    with put_when_done(f"{s3}/out", tmp_path / "cache") as folder:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "rows.parquet").write_text("x")
    assert list(ObjectStore(s3).find()) == ["out/deep/rows.parquet"]
    assert list((tmp_path / "cache").iterdir()) == []
