"""Building the BM25 index: in blocks and processes, killed and gone on with, refused when its parts do not fit."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SearchError
from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import SearchRequest
from pipeline.search.index import bm25 as bm25_build
from pipeline.search.index.bm25 import build_bm25
from pipeline.search.index.parts import RunBlocks
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.passages import build_store
from pipeline.search.index.sorted_strings import SortedStrings, SortedStringsWriter
from pipeline.search.tokens import make_tokenizer
from schemas.passages import Passage
from schemas.search_config import SearchConfig
from tests.support.passage_samples import WORDS, draw_passages, make_passage, read_tree, write_shards

T = TypeVar("T")
R = TypeVar("R")


def run_in_processes(work: Callable[[T], R], blocks: Sequence[T], /) -> Iterable[R]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(work, blocks))


def build_small(shards: list[Path], folder: Path, run: RunBlocks = map) -> None:
    """Build with blocks of 20 passages."""
    folder.mkdir(exist_ok=True)
    build_store(shards, folder / "passages", run, block_rows=20)
    build_bm25(folder, SearchConfig(), "en", run)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return write_shards(tmp_path / "shards", draw_passages(150), group=10)


def test_many_blocks_and_ranges_score_as_bare_bm25s(
    tmp_path: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bm25_build, "RANGE_POSTINGS", 40)
    build_small(shards, tmp_path / "index")
    engine = Bm25Engine(tmp_path / "index")
    passages = draw_passages(150)
    rows = passages[::2] + passages[1::2]
    tokenize = make_tokenizer("en")
    model = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    model.index([tokenize(f"{p.title}. {p.text}") for p in rows], show_progress=False)
    rng = random.Random(1)
    queries = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(50)]
    _, scores = model.retrieve([tokenize(q) for q in queries], k=9, show_progress=False)
    found = [[hit.score for hit in call.hits] for call in engine.search([SearchRequest(q) for q in queries], 9)]
    assert np.array_equal(np.asarray(found, np.float32), scores)


def test_processes_and_ranges_change_no_byte(
    tmp_path: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_small(shards, tmp_path / "one")
    monkeypatch.setattr(bm25_build, "RANGE_POSTINGS", 40)
    build_small(shards, tmp_path / "two", run_in_processes)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def die_after(calls: int) -> Callable[[Callable[[T], R], Sequence[T]], Iterable[R]]:
    left = calls

    def run(work: Callable[[T], R], blocks: Sequence[T], /) -> Iterable[R]:
        nonlocal left
        for block in blocks:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            yield work(block)

    return run


@pytest.mark.parametrize("calls", [3, 11, 16])
def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, shards: list[Path], calls: int) -> None:
    build_small(shards, tmp_path / "whole")
    child = multiprocessing.get_context("fork").Process(
        target=build_small, args=(shards, tmp_path / "killed", die_after(calls))
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").rglob("blocks/[0-9]*/rows.npy")}
    assert len(done) == max(0, min(calls - 8, 8))
    touched: list[int] = []

    def watch(work: Callable[[T], R], blocks: Sequence[T], /) -> Iterable[R]:
        for block in blocks:
            result = work(block)
            touched.append(sum(path.exists() and path.stat().st_mtime_ns != at for path, at in done.items()))
            yield result

    build_small(shards, tmp_path / "killed", watch)
    assert not any(touched)
    assert read_tree(tmp_path / "killed") == read_tree(tmp_path / "whole")


def test_a_finished_part_is_kept_and_another_plan_replaces_it(tmp_path: Path, shards: list[Path]) -> None:
    about = build_index(shards, tmp_path / "index", SearchConfig(), "en")
    before = (tmp_path / "index/bm25/scores.npy").stat().st_mtime_ns
    assert build_index(shards, tmp_path / "index", SearchConfig(), "en") == about
    assert (tmp_path / "index/bm25/scores.npy").stat().st_mtime_ns == before
    for config in (SearchConfig(k1=2.0), SearchConfig(b=0.1), SearchConfig(tokenizer="words")):
        assert build_index(shards, tmp_path / "index", config, "en")["fingerprint"] != about["fingerprint"]
    (tmp_path / "index/bm25/rows.npy").unlink()
    assert build_index(shards, tmp_path / "index", SearchConfig(), "en") == about


def test_terms_of_other_passages_are_refused(tmp_path: Path, shards: list[Path]) -> None:
    build_index(shards, tmp_path / "index", SearchConfig(), "en")
    other = write_shards(tmp_path / "other", draw_passages(30, seed=7))
    build_index(other, tmp_path / "index2", SearchConfig(), "en")
    shutil.rmtree(tmp_path / "index/passages")
    with pytest.raises(SearchError, match="no passages index"):
        Bm25Engine(tmp_path / "index")
    shutil.copytree(tmp_path / "index2/passages", tmp_path / "index/passages")
    with pytest.raises(SearchError, match="other passages"):
        Bm25Engine(tmp_path / "index")


def test_an_index_that_lacks_a_block_of_texts_says_so(tmp_path: Path, shards: list[Path]) -> None:
    build_small(shards, tmp_path / "index")
    (tmp_path / "index/passages/passages-00003.arrow").unlink()
    with pytest.raises(SearchError, match=r"lacks passages-00003\.arrow\n  -> `rampforge index .*` builds it"):
        Bm25Engine(tmp_path / "index")


def test_the_store_reads_any_row_and_any_stretch(tmp_path: Path, shards: list[Path]) -> None:
    build_store(shards, tmp_path / "passages", block_rows=20)
    store = PassageStore(tmp_path / "passages")
    passages = draw_passages(150)
    rows = passages[::2] + passages[1::2]
    assert [store.id_at(row) for row in range(150)] == [p.passage_id for p in rows]
    assert [store.find_row(p.passage_id) for p in rows] == list(range(150))
    assert store.find_row("nothing") is None
    for start, end in ((0, 150), (19, 21), (20, 20), (75, 131)):
        assert list(store.read_texts(start, end)) == [f"{p.title}. {p.text}" for p in rows[start:end]]


@given(st.sets(st.text(max_size=5)))
def test_sorted_strings_find_every_string_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, some: set[str]
) -> None:
    stem = tmp_path_factory.mktemp("strings") / "terms"
    known = sorted({text.encode("utf-8", "replace") for text in some})
    with SortedStringsWriter(stem) as writer:
        for string in known:
            writer.append(string)
    strings = SortedStrings(stem)
    assert list(strings) == known
    assert [strings.find(string.decode()) for string in known] == list(range(len(known)))
    assert strings.find("longer than any of them") is None


def test_tokenizers_by_name_and_by_language() -> None:
    text = "The rivers of 北京大学 2019"
    cut = {name: make_tokenizer("en", name)(text) for name in ("auto", "english", "words", "pairs", "jieba")}
    assert cut["auto"] == cut["english"] == ["river", "北京大学", "2019"]
    assert cut["words"] == ["the", "rivers", "of", "北京大学", "2019"]
    assert cut["pairs"] == ["the", "rivers", "of", "北京", "京大", "大学", "2019"]
    assert {"北京大学", "北京", "2019"} <= set(cut["jieba"])
    assert make_tokenizer("zh")(text) == cut["pairs"]


def test_jieba_finds_words(tmp_path: Path) -> None:
    texts = ["北京大学创办于1898年", "长江是亚洲第一长河", "故宫位于北京市中心"]
    passages: list[Passage] = [make_passage(i, text, i, "zh", f"页{i}") for i, text in enumerate(texts)]
    build_index(write_shards(tmp_path, passages), tmp_path / "index", SearchConfig(tokenizer="jieba"), "zh")
    (call,) = Bm25Engine(tmp_path / "index").search([SearchRequest("长江")], 3)
    assert [hit.passage_id for hit in call.hits] == ["p0001"]
