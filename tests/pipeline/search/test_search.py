"""BM25 search: exactness against bare bm25s, hiding, statuses, broken indexes, merging."""

from __future__ import annotations

import json
import random
from pathlib import Path
from unittest import mock

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SearchError
from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import MAX_QUERY_CHARS, SearchRequest, merge_round_robin
from pipeline.search.tokens import make_tokenizer
from pipeline.storage.seals import seal_file
from schemas.passages import Passage
from schemas.search_config import SearchConfig
from schemas.trajectories import HideMode, Hit, SearchStatus
from tests.support.passage_samples import WORDS, draw_passages, make_passage, read_tree, write_shards


def open_engine(folder: Path, passages: list[Passage], lang: str = "en") -> Bm25Engine:
    build_index(write_shards(folder, passages), folder / "index", SearchConfig(), lang)
    return Bm25Engine(folder / "index")


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return draw_passages(200)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, passages: list[Passage]) -> Bm25Engine:
    return open_engine(tmp_path_factory.mktemp("bm25"), passages)


def test_scores_equal_those_of_bare_bm25s(engine: Bm25Engine, passages: list[Passage]) -> None:
    rng = random.Random(1)
    queries = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(100)]
    rows = passages[::2] + passages[1::2]
    tokenize = make_tokenizer("en")
    model = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    model.index([tokenize(f"{p.title}. {p.text}") for p in rows], show_progress=False)
    _, scores = model.retrieve([tokenize(q) for q in queries], k=7, show_progress=False)
    calls = engine.search([SearchRequest(q) for q in queries], 7)
    np.testing.assert_allclose([[hit.score or 0.0 for hit in call.hits] for call in calls], scores, rtol=1e-5)


def test_hiding_is_as_if_the_source_had_never_been_there(engine: Bm25Engine, passages: list[Passage]) -> None:
    source = passages[42]
    everything = engine.search([SearchRequest(source.text)], 200)[0].hits
    page = {p.passage_id for p in passages if p.page_id == source.page_id}
    for hide, hidden in ((HideMode.PASSAGE, {source.passage_id}), (HideMode.PAGE, page), (HideMode.NONE, set())):
        request = SearchRequest(source.text, hide, source.passage_id, source.page_id)
        (call,) = engine.search([request], 9)
        assert call.hits == tuple(hit for hit in everything if hit.passage_id not in hidden)[:9]


def test_statuses_never_exceptions(engine: Bm25Engine) -> None:
    expected = {
        "": SearchStatus.EMPTY, "the of and": SearchStatus.EMPTY, "zzzz": SearchStatus.EMPTY,
        "\ud800 \x00": SearchStatus.EMPTY, "river": SearchStatus.OK, "x" * 50_000: SearchStatus.ERROR,
    }  # fmt: skip
    calls = engine.search([SearchRequest(query) for query in expected], 3)
    assert [c.status for c in calls] == list(expected.values())
    assert all(
        len(call.query) <= MAX_QUERY_CHARS and (call.status is SearchStatus.OK) == bool(call.hits) for call in calls
    )
    for k in (0, -1):
        assert engine.search([SearchRequest("river")], k)[0].status is SearchStatus.ERROR
    assert len(engine.search([SearchRequest("river")], 10**6)[0].hits) <= 200


def test_equal_scores_come_in_row_order_and_batches_do_not_matter(tmp_path: Path) -> None:
    twins = [make_passage(i, "river bridge", i, title="Same") for i in range(50)]
    engine = open_engine(tmp_path, twins)
    (alone,) = engine.search([SearchRequest("river")], 10)
    assert [hit.passage_id for hit in alone.hits] == [p.passage_id for p in twins[::2][:10]]
    assert engine.search([SearchRequest("bridge"), SearchRequest("river")], 10)[1] == alone


@given(st.data())
def test_however_postings_are_added_and_the_best_are_looked_for_the_same_is_found(
    engine: Bm25Engine, passages: list[Passage], data: st.DataObject
) -> None:
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
    source, hide = data.draw(st.sampled_from(passages)), data.draw(st.sampled_from(HideMode))
    request = SearchRequest(" ".join(words), hide, source.passage_id, source.page_id)
    k = data.draw(st.integers(1, 201))
    found = []
    every, none = float("inf"), 0
    for few, many, shares in ((none, every, (0.4, 0.2, 0.0)), (none, none, (0.0,)), (every, every, (0.9, 0.0))):
        with mock.patch.multiple("pipeline.search.bm25", SPARSE=few, MANY=many, NEAR_BEST=shares):
            found += engine.search([request], k)
    assert found[0] == found[1] == found[2]


def test_reading_back(engine: Bm25Engine, passages: list[Passage]) -> None:
    wanted = [passages[i] for i in (3, 199, 0)]
    found = engine.read([p.passage_id for p in wanted])
    assert [(f.passage_id, f.title, f.text, f.anchors) for f in found] == [
        (p.passage_id, p.title, p.text, ((0, 5),)) for p in wanted
    ]
    with pytest.raises(SearchError, match="not in the index"):
        engine.read(["p9999"])


def test_rebuilding_gives_the_same_index(tmp_path: Path, passages: list[Passage]) -> None:
    one, two = open_engine(tmp_path / "a", passages), open_engine(tmp_path / "b", passages)
    assert one.about == two.about
    assert open_engine(tmp_path / "c", passages[:-1]).fingerprint != one.fingerprint
    assert read_tree(tmp_path / "a/index") == read_tree(tmp_path / "b/index")


_PARTS = """
passages/about.json passages/passages-00000.arrow passages/id_hashes.npy passages/id_rows.npy passages/page_ids.npy
passages/page_rows.npy passages/title_hashes.npy passages/title_rows.npy
bm25/about.json bm25/scores.npy bm25/rows.npy bm25/ends.npy bm25/terms.bytes bm25/terms.ends.npy
"""


@pytest.mark.parametrize("broken", _PARTS.split())
def test_a_missing_or_torn_part_is_one_clear_error(tmp_path: Path, passages: list[Passage], broken: str) -> None:
    open_engine(tmp_path, passages[:20])
    path = tmp_path / "index" / broken
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SearchError, match="rampforge"):
        Bm25Engine(tmp_path / "index")
    path.unlink()
    with pytest.raises(SearchError):
        Bm25Engine(tmp_path / "index")


def test_an_index_of_other_passages_or_versions_is_refused(tmp_path: Path, passages: list[Passage]) -> None:
    engine = open_engine(tmp_path, passages[:20])
    about = tmp_path / "index/bm25/about.json"
    about.write_bytes(seal_file(json.dumps({**engine.about, "corpus": "another"}).encode()))
    with pytest.raises(SearchError, match="other passages"):
        Bm25Engine(tmp_path / "index")
    about.write_bytes(seal_file(json.dumps({**engine.about, "version": 99}).encode()))
    with pytest.raises(SearchError, match="another version"):
        Bm25Engine(tmp_path / "index")


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="no passage"):
        build_index([], tmp_path / "index", SearchConfig(), "en")
    assert not list((tmp_path / "index").glob("[!.]*"))


def test_chinese_needs_no_spaces(tmp_path: Path) -> None:
    texts = ["北京大学创办于1898年，位于海淀区。", "长江是亚洲第一长河。", "故宫位于北京市中心。"]
    engine = open_engine(tmp_path, [make_passage(i, t, i, "zh", f"页{i}") for i, t in enumerate(texts)], "zh")
    best = [
        call.hits[0].passage_id
        for call in engine.search([SearchRequest("北京大学"), SearchRequest("第一长河是什么")], 2)
    ]
    assert best == ["p0000", "p0001"]
    assert make_tokenizer("zh")("我爱NLP 3.5中") == ["我爱", "nlp", "3", "5", "中"]


HIT_LISTS = st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), max_size=5)


@given(HIT_LISTS, st.integers(0, 20))
def test_round_robin_merge(lists: list[list[int]], k: int) -> None:
    hit_lists = [[Hit(passage_id=str(n), score=float(n)) for n in numbers] for numbers in lists]
    merged = [hit.passage_id for hit in merge_round_robin(hit_lists, k)]
    everything = [str(n) for rank in range(8) for numbers in lists for n in numbers[rank : rank + 1]]
    assert merged == list(dict.fromkeys(everything))[:k]
