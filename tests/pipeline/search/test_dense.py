"""Dense search: exact against brute force, hiding, killed and resumed embedding, inexact indexes, refusals."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import SearchError
from pipeline.search.dense import DenseEngine
from pipeline.search.engine import SearchRequest
from pipeline.search.index.dense import build_dense
from pipeline.search.index.parts import read_about
from pipeline.search.index.passages import build_store
from pipeline.storage.seals import seal_file
from schemas.passages import Passage
from schemas.search_config import DenseConfig, DenseIndex
from schemas.trajectories import HideMode, SearchStatus
from tests.support.passage_samples import draw_passages, make_passage, read_tree, write_shards
from tests.support.tiny_encoders import WordEncoder

FLAT = DenseConfig()
QUERIES = [p.text for p in draw_passages(40, seed=9, longest=8)]


def build(folder: Path, passages: list[Passage], config: DenseConfig = FLAT) -> Path:
    index = folder / "index"
    build_store(write_shards(folder, passages), index / "passages")
    build_dense(index, config, WordEncoder())
    return index


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return draw_passages(300)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, passages: list[Passage]) -> DenseEngine:
    return DenseEngine(build(tmp_path_factory.mktemp("dense"), passages), FLAT, WordEncoder())


def rank_all(passages: list[Passage], query: str) -> list[tuple[str, float]]:
    rows = passages[::2] + passages[1::2]
    vectors = WordEncoder().encode([f"{p.title}. {p.text}" for p in rows]).astype(np.float64)
    scores = np.round(vectors @ WordEncoder().encode([query])[0], 5)
    order = np.argsort(-scores, kind="stable")
    return [(rows[i].passage_id, float(scores[i])) for i in order]


def test_results_are_those_of_brute_force(engine: DenseEngine, passages: list[Passage]) -> None:
    for k in (1, 7, 300, 1000):
        calls = engine.search([SearchRequest(query) for query in QUERIES], k)
        for query, call in zip(QUERIES, calls, strict=True):
            expected = rank_all(passages, query)[:k]
            np.testing.assert_allclose([h.score or 0.0 for h in call.hits], [s for _, s in expected], atol=2e-5)
            assert len({h.passage_id for h in call.hits} & {name for name, _ in expected}) >= len(expected) - 1


def test_batches_do_not_matter_and_ties_keep_row_order(tmp_path: Path, engine: DenseEngine) -> None:
    together = engine.search([SearchRequest(query) for query in QUERIES], 9)
    assert [engine.search([SearchRequest(query)], 9)[0] for query in QUERIES] == together
    twins = [make_passage(i, "river bridge", i, title="Same") for i in range(40)]
    alike = DenseEngine(build(tmp_path, twins), FLAT, WordEncoder())
    (call,) = alike.search([SearchRequest("river")], 5)
    assert [hit.passage_id for hit in call.hits] == [p.passage_id for p in twins[::2][:5]]


@pytest.mark.parametrize("kind", [DenseIndex.FLAT, DenseIndex.HNSW])
def test_hiding_is_as_if_the_source_had_never_been_there(
    tmp_path: Path, passages: list[Passage], kind: DenseIndex
) -> None:
    config = DenseConfig(index=kind)
    engine = DenseEngine(build(tmp_path, passages, config), config, WordEncoder())
    source = passages[42]
    everything = engine.search([SearchRequest(source.text)], 300)[0].hits
    page = {p.passage_id for p in passages if p.page_id == source.page_id}
    for hide, hidden in ((HideMode.PASSAGE, {source.passage_id}), (HideMode.PAGE, page), (HideMode.NONE, set())):
        (call,) = engine.search([SearchRequest(source.text, hide, source.passage_id, source.page_id)], 9)
        assert call.hits == tuple(hit for hit in everything if hit.passage_id not in hidden)[:9]


def test_statuses_never_exceptions(engine: DenseEngine) -> None:
    expected = {
        "": SearchStatus.EMPTY, " \n": SearchStatus.EMPTY, "\ud800": SearchStatus.OK, "river": SearchStatus.OK,
        "x" * 50_000: SearchStatus.ERROR,
    }  # fmt: skip
    calls = engine.search([SearchRequest(query) for query in expected], 3)
    assert [call.status for call in calls] == list(expected.values())
    assert {call.status for call in engine.search([SearchRequest("river")], 0)} == {SearchStatus.ERROR}
    assert len(engine.search([SearchRequest("river")], 10**6)[0].hits) == 300
    assert engine.search([], 3) == []


class FailingEncoder(WordEncoder):
    def encode(self, texts: object) -> np.ndarray:
        raise SearchError("the server is down")


def test_a_failing_encoder_is_a_status(tmp_path: Path, passages: list[Passage]) -> None:
    engine = DenseEngine(build(tmp_path, passages), FLAT, FailingEncoder())
    calls = engine.search([SearchRequest("river"), SearchRequest("x" * 20_000)], 3)
    assert [call.status for call in calls] == [SearchStatus.ERROR] * 2
    assert calls[0].detail == "the server is down"


class DyingEncoder(WordEncoder):
    def encode(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]  # only ever called with lists
        if self.encoded >= 100:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts)


def test_a_killed_embedding_repeats_only_the_block_under_way(tmp_path: Path, passages: list[Passage]) -> None:
    shards = write_shards(tmp_path, passages)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        build_store(shards, tmp_path / name / "passages")
    build_dense(tmp_path / "whole", FLAT, WordEncoder(), block_rows=40)
    child = multiprocessing.get_context("fork").Process(
        target=build_dense, args=(tmp_path / "killed", FLAT, DyingEncoder(), 40)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    again = WordEncoder()
    build_dense(tmp_path / "killed", FLAT, again, block_rows=40)
    assert again.encoded == 300 - 120
    assert read_tree(tmp_path / "killed") == read_tree(tmp_path / "whole")
    build_dense(tmp_path / "killed", FLAT, again, block_rows=40)
    assert again.encoded == 300 - 120


@pytest.mark.parametrize("kind", [DenseIndex.HNSW, DenseIndex.IVFPQ])
def test_inexact_indexes_find_most_of_the_best(tmp_path: Path, kind: DenseIndex) -> None:
    passages = draw_passages(3000, longest=40)
    config = DenseConfig(index=kind)
    inexact = DenseEngine(build(tmp_path / "a", passages, config), config, WordEncoder())
    flat = DenseEngine(build(tmp_path / "b", passages), FLAT, WordEncoder())
    requests = [SearchRequest(query) for query in QUERIES]
    found = shared = 0
    for one, two in zip(inexact.search(requests, 10), flat.search(requests, 10), strict=True):
        scores = {hit.passage_id: hit.score or 0.0 for hit in flat.search([SearchRequest(one.query)], 3000)[0].hits}
        assert all(abs(scores[hit.passage_id] - (hit.score or 0.0)) < 2e-5 for hit in one.hits)
        found, shared = found + len(two.hits), shared + len(set(one.hits) & set(two.hits))
    assert shared >= 0.9 * found
    assert inexact.fingerprint != flat.fingerprint
    build(tmp_path / "c", passages, config)
    assert read_tree(tmp_path / "a/index/dense") == read_tree(tmp_path / "c/index/dense")


def test_what_does_not_fit_is_refused(tmp_path: Path, passages: list[Passage]) -> None:
    index = build(tmp_path, passages)
    prefixed = DenseConfig(passage_prefix="passage: ")
    for config, encoder, words in (
        (FLAT, WordEncoder(16), "embedded by words 32, not words 16"),
        (prefixed, WordEncoder(), "other settings"),
        (DenseConfig(index=DenseIndex.HNSW), WordEncoder(), "other settings"),
    ):
        with pytest.raises(SearchError, match=words):
            DenseEngine(index, config, encoder)
    about = index / "dense/about.json"
    sealed = about.read_bytes()
    about.write_bytes(seal_file(json.dumps({**read_about(about.parent), "corpus": "another"}).encode()))
    with pytest.raises(SearchError, match="other passages"):
        DenseEngine(index, FLAT, WordEncoder())
    about.write_bytes(sealed)
    with pytest.raises(SearchError, match=r"at least 2,560 passages, and there are 300"):
        build_dense(index, DenseConfig(index=DenseIndex.IVFPQ), WordEncoder())
    vectors = index / "dense/vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:1000])
    with pytest.raises(SearchError, match=r"damaged vectors\.npy"):
        DenseEngine(index, FLAT, WordEncoder())
    shutil.rmtree(index / "dense")
    with pytest.raises(SearchError, match="no dense index"):
        DenseEngine(index, FLAT, WordEncoder())


def test_prefixes_reach_the_encoder_and_the_fingerprint(tmp_path: Path, passages: list[Passage]) -> None:
    config = DenseConfig(query_prefix="query: ", passage_prefix="passage: ")
    prefixed = DenseEngine(build(tmp_path, passages, config), config, WordEncoder())
    (call,) = prefixed.search([SearchRequest("river stone")], 1)
    query = WordEncoder().encode(["query: river stone"])[0]
    (best,) = prefixed.read([call.hits[0].passage_id])
    passage = WordEncoder().encode([f"passage: {best.title}. {best.text}"])[0]
    assert call.hits[0].score == pytest.approx(float(passage @ query), abs=2e-5)
    plain = DenseEngine(tmp_path / "index", DenseConfig(passage_prefix="passage: "), WordEncoder())
    assert plain.fingerprint != prefixed.fingerprint
