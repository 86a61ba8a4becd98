"""What a source is known by: the hash of its whole, taken while it is read; size, time and edges when a run goes on."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flows.configuration.provenance import fingerprint_sources, name_sources
from flows.configuration.run_config import load_config
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import (
    check_sources,
    list_source_records,
    note_digest,
    open_digest,
    write_source_records,
)
from flows.configuration.sources import find_sources
from pipeline.corpus.document_stage import DocumentStage
from pipeline.corpus.readers.opening import open_source
from pipeline.corpus.readers.raw_page import PLAIN, RawPage
from pipeline.corpus.readers.source_digests import SourceDigest, hash_source
from pipeline.corpus.repeated_documents import separate_repeats
from pipeline.errors import SourceError
from pipeline.storage.hashing import hash_file
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.shards import read_rows
from schemas.config import CorpusConfig
from schemas.documents import Document, Redirect

ROWS = [{"title": f"Page {number}", "text": f"Text of page {number}. " * 40, "url": "x" * 50} for number in range(300)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PACKED = {
    "pages.jsonl": LINES,
    "pages.jsonl.gz": gzip.compress(LINES),
    "pages.jsonl.bz2": bz2.compress(LINES[:5000]) + bz2.compress(LINES[5000:]),
    "pages.jsonl.zst": zstandard.compress(LINES),
}


def write_source(folder: Path, name: str) -> Path:
    path = folder / name
    if name == "pages.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=50)
    elif name == "folder":
        path.mkdir()
        for row in ROWS[:20]:
            (path / f"{row['title']}.txt").write_text(row["text"])
    else:
        path.write_bytes(PACKED[name])
    return path


def hash_bytes(path: Path) -> str:
    """What `sha256sum` says; of a folder, over what it says of each file."""
    if path.is_dir():
        lines = [f"{file.name}\0{hash_bytes(file)}\n" for file in sorted(path.iterdir())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [*PACKED, "pages.parquet", "folder"])
def test_reading_a_source_hashes_all_of_it(name: str, tmp_path: Path) -> None:
    path = write_source(tmp_path, name)
    digest = SourceDigest(path)
    pages = list(open_source(str(path), CorpusConfig(), digest))
    assert [page.title for page in pages] == [page.title for page in open_source(str(path), CorpusConfig())]
    assert digest.finish() == hash_source(path) == hash_bytes(path)


@pytest.mark.parametrize("name", [*PACKED, "folder"])
def test_no_byte_is_read_only_to_be_hashed(name: str, tmp_path: Path) -> None:
    path = write_source(tmp_path, name)
    digest = SourceDigest(path)
    for _ in open_source(str(path), CorpusConfig(), digest):
        pass
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    assert [digest.of_file(file).end for file in files] == [file.stat().st_size for file in files]


@given(st.binary(max_size=2000), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 700)), max_size=12))
def test_pieces_in_any_order_give_the_hash_of_the_whole(content: bytes, reads: list[tuple[int, int]]) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"pieces-{os.getpid()}"  # noqa: S108 - one file, rewritten
    path.write_bytes(content)
    digest = SourceDigest(path)
    with digest.path.open("rb") as file:
        for start, size in reads:
            file.seek(start)
            file.read(size)
    assert digest.finish() == hashlib.sha256(content).hexdigest()
    path.unlink()


def test_sources_of_one_file_name_are_distinguished(tmp_path: Path) -> None:
    assert name_sources(["a/x.xml", "b/y.xml"]) == ["x.xml", "y.xml"]
    assert name_sources(["a/x.xml", "b/x.xml", "c"]) == ["a/x.xml", "b/x.xml", "c"]
    assert name_sources(["1/a/x", "2/a/x", "2/b/x"]) == ["1/a/x", "2/a/x", "b/x"]
    assert len(set(name_sources(["x", "/x", "a/x"]))) == 3
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text(folder)
    found = fingerprint_sources([str(tmp_path / folder / "x.jsonl") for folder in ("a", "b")])
    assert list(found) == ["a/x.jsonl", "b/x.jsonl"]
    assert len(set(found.values())) == 2


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """A run whose one source has been looked at."""
    source = write_source(tmp_path, "pages.jsonl")
    source.write_bytes(LINES * 60)  # longer than its two edges
    found = RunContext(RunFolder(tmp_path / "run"), load_config(None, [f"corpus.sources=[{source}]"]), tmp_path)
    write_source_records(found.run, check_sources(found))
    return found


def read_whole(context: RunContext) -> None:
    (source,) = sources = find_sources(context)
    digest = open_digest(source, sources)
    assert digest is not None
    for _ in open_source(source, context.config.corpus, digest):
        pass
    note_digest(context.run, 0, source, digest.finish())


def change_middle(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"#" + content[middle + 1 :])
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))


def test_a_source_changed_in_its_middle_is_noticed(context: RunContext) -> None:
    (source,) = find_sources(context)
    edges = fingerprint_sources([source])
    read_whole(context)
    check_sources(context)
    change_middle(Path(source))
    assert fingerprint_sources([source]) == edges, "edges alone do not tell"
    with pytest.raises(SourceError, match="changed after"):
        check_sources(context)
    with pytest.raises(SourceError, match="changed after"):
        read_whole(context)


def test_a_source_that_was_only_touched_is_the_same(context: RunContext) -> None:
    (source,) = find_sources(context)
    read_whole(context)
    os.utime(source, ns=(1, 1))
    (now,) = check_sources(context)
    assert now.sha256 == hash_file(Path(source))
    write_source_records(context.run, [now])
    assert list_source_records(context.run)[0].modified == 1


def test_a_source_half_read_must_keep_its_time(context: RunContext) -> None:
    check_sources(context)
    os.utime(find_sources(context)[0], ns=(1, 1))
    with pytest.raises(SourceError, match="changed after"):
        check_sources(context)


def test_the_hub_and_stores_have_no_digest_of_ours() -> None:
    assert open_digest("hf:owner/name", ["hf:owner/name"]) is None


def work_shards(run: RunFolder, titles: Mapping[str, list[str]]) -> list[Document]:
    """Clean a page for each title, and give repeats ids of their own."""
    config = CorpusConfig(min_chars=1)
    for shard, wanted in titles.items():
        plan = ShardPlan(run, "corpus", shard, (Document, Redirect), {"stage": "corpus"})
        pages = [RawPage("x", number, title, f"About {title}.", PLAIN) for number, title in enumerate(wanted)]
        run_shard(plan, DocumentStage(config), pages)
    separate_repeats(run, "corpus")
    return [row for path in run.files("documents") for row in read_rows(path, Document)]


TITLES = {"000-00000": ["a", "b", "a"], "000-00001": ["c", "d"], "001-00000": ["b", "a", "e"]}


def test_repeats_get_ids_of_their_own_and_firsts_keep_theirs(tmp_path: Path) -> None:
    once = {row.title: row.document_id for row in work_shards(RunFolder(tmp_path / "once"), {"0": list("abcde")})}
    run = RunFolder(tmp_path / "run")
    rows = work_shards(run, TITLES)
    assert [row.title for row in rows] == list("abacdbae")
    assert len({row.document_id for row in rows}) == 8
    assert [row.document_id == once[row.title] for row in rows] == [True, True, False, True, True, False, False, True]
    assert separate_repeats(run, "corpus") == 0
    for commit in run.commits("corpus"):
        for file in commit.files:
            assert hash_file(run.dataset(file.dataset) / file.name) == file.sha256


def test_killed_while_repeats_are_renamed_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = work_shards(RunFolder(tmp_path / "whole"), TITLES)
    for writes in range(1, 5):
        run = RunFolder(tmp_path / f"killed-{writes}")
        with monkeypatch.context() as patch:
            die_at(patch, writes + len(TITLES))
            with pytest.raises(KeyboardInterrupt):
                work_shards(run, TITLES)
        assert work_shards(run, TITLES) == expected


def die_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Stop at one of the steps that take a commit away or write one."""
    left = [step]

    def count(of: str) -> None:
        real = getattr(RunFolder, of)

        def work(run: RunFolder, given: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            real(run, given)

        patch.setattr(RunFolder, of, work)

    count("commit")
    count("remove")
