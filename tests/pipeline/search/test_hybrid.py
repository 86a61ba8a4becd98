"""Fusion of ranks, and reranking by a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AssetError, SearchError
from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.dense import DenseEngine
from pipeline.search.engine import SearchRequest
from pipeline.search.hybrid import HybridEngine, fuse_ranks
from pipeline.search.index.dense import build_dense
from pipeline.search.reranker import load_reranker
from schemas.search_config import DenseConfig, HybridConfig, SearchConfig
from schemas.trajectories import HideMode, Hit, SearchStatus
from tests.support.passage_samples import draw_passages, write_shards
from tests.support.tiny_encoders import WordEncoder, save_tiny_model

PASSAGES = draw_passages(120)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    shards = write_shards(folder, PASSAGES)
    build_index(shards, folder / "index", SearchConfig(), "en")
    build_dense(folder / "index", DenseConfig(), WordEncoder())
    return folder / "index"


def open_hybrid(index: Path, config: HybridConfig, reranker: Any = None) -> HybridEngine:
    return HybridEngine(
        Bm25Engine(index), DenseEngine(index, DenseConfig(), WordEncoder()), config, reranker
    )  # fmt: skip


def make_hits(names: str) -> list[Hit]:
    return [Hit(passage_id=name, score=1.0) for name in names]


def test_ranks_fuse_by_the_formula() -> None:
    fused = fuse_ranks([(1.0, make_hits("abc")), (0.5, make_hits("cd"))], 10)
    assert [(hit.passage_id, hit.score) for hit in fused] == [
        ("c", 1 / 13 + 0.5 / 11), ("a", 1 / 11), ("b", 1 / 12), ("d", 0.5 / 12),
    ]  # fmt: skip
    assert [hit.passage_id for hit in fuse_ranks([(1.0, make_hits("ab")), (1.0, make_hits("ba"))], 60)] == ["a", "b"]
    assert fuse_ranks([(1.0, []), (0.0, make_hits("ab"))], 60) == []


@given(st.permutations("abcdefgh"), st.permutations("abcdefgh"), st.floats(1, 100))
def test_what_both_rank_higher_comes_first(one: list[str], two: list[str], constant: float) -> None:
    fused = [hit.passage_id for hit in fuse_ranks([(1.0, make_hits("".join(x))) for x in (one, two)], constant)]
    for a in one:
        for b in one:
            if one.index(a) < one.index(b) and two.index(a) < two.index(b):
                assert fused.index(a) < fused.index(b)


def test_hybrid_is_both_lists_fused(index: Path) -> None:
    config = HybridConfig(constant=20, dense_weight=2.0, depth=30)
    engine = open_hybrid(index, config)
    words, vectors = Bm25Engine(index), DenseEngine(index, DenseConfig(), WordEncoder())
    source = PASSAGES[5]
    request = SearchRequest(source.text, HideMode.PAGE, source.passage_id, source.page_id)
    (call,) = engine.search([request], 10)
    lists = [(1.0, words.search([request], 30)[0].hits), (2.0, vectors.search([request], 30)[0].hits)]
    assert list(call.hits) == fuse_ranks(lists, 20)[:10]
    assert not {hit.passage_id for hit in call.hits} & {p.passage_id for p in PASSAGES if p.page_id == source.page_id}
    assert len(engine.search([request], 100)[0].hits) == 100
    assert engine.read([source.passage_id])[0].text == source.text


def test_statuses(index: Path) -> None:
    engine = open_hybrid(index, HybridConfig())
    expected = {
        "": SearchStatus.EMPTY,
        "zzzz": SearchStatus.OK,
        "river": SearchStatus.OK,
        "x" * 50_000: SearchStatus.ERROR,
    }
    assert [call.status for call in engine.search([SearchRequest(q) for q in expected], 3)] == list(expected.values())
    assert engine.search([SearchRequest("river")], 0)[0].status is SearchStatus.ERROR


class BrokenEncoder(WordEncoder):
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        raise SearchError("no encoder")


def test_half_an_answer_is_no_answer(index: Path) -> None:
    vectors = DenseEngine(index, DenseConfig(), BrokenEncoder())
    (call,) = HybridEngine(Bm25Engine(index), vectors, HybridConfig()).search([SearchRequest("river")], 3)
    assert (call.status, call.hits, call.detail) == (SearchStatus.ERROR, (), "no encoder")


def test_a_cross_encoder_orders_the_best_anew(index: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_tiny_model(tmp_path / "one", labels=1)
    reranker = load_reranker(str(folder), "cpu", "tiny")
    config = HybridConfig(reranker="tiny", rerank_depth=12)
    engine, plain = open_hybrid(index, config, reranker), open_hybrid(index, HybridConfig())
    (call,), (before,) = (one.search([SearchRequest("stone bridge")], 5) for one in (engine, plain))
    candidates = plain.search([SearchRequest("stone bridge")], 12)[0].hits
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    expected = {}
    for passage in plain.read([hit.passage_id for hit in candidates]):
        pair = tokenizer("stone bridge", f"{passage.title}. {passage.text}", truncation=True, max_length=128)
        with torch.no_grad():
            ids = {key: torch.tensor([value]) for key, value in pair.items()}
            expected[passage.passage_id] = float(model.train(False)(**ids).logits[0, 0])
    best = sorted(expected.values(), reverse=True)[:5]
    np.testing.assert_allclose([hit.score or 0.0 for hit in call.hits], best, atol=2e-5)
    assert [hit.passage_id for hit in call.hits] != [hit.passage_id for hit in before.hits]
    assert len({engine.fingerprint, plain.fingerprint, open_hybrid(index, HybridConfig(constant=1)).fingerprint}) == 3


def test_two_classes_make_one_score_and_more_are_refused(tmp_path: Path) -> None:
    two = load_reranker(str(save_tiny_model(tmp_path / "two", labels=2)), "cpu")
    texts = [p.text for p in PASSAGES[:40]]
    np.testing.assert_allclose(two.score("river", texts)[::-1], two.score("river", texts[::-1]), atol=1e-5)
    with pytest.raises(AssetError, match="3 classes"):
        load_reranker(str(save_tiny_model(tmp_path / "three", labels=3)))
