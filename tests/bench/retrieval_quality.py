"""Recall of the passages that support an answer, engine beside engine, and the speed of the encoder.

The vectors of the passages are kept in the cache beside the assets: they cost a small machine many minutes. A run that
was cut short goes on where it was, and the next one takes them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import torch

from flows.configuration.cache import cache_folder
from pipeline.search.bm25 import Bm25Engine
from pipeline.search.dense import DenseEngine
from pipeline.search.encoder import TransformersEncoder, load_encoder
from pipeline.search.engine import SearchEngine, SearchRequest
from pipeline.search.hybrid import HybridEngine
from pipeline.search.index.dense import build_dense
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.passages import build_store
from pipeline.search.tokens import make_tokenizer
from pipeline.storage.hashing import hash_file
from schemas.record import content_id
from schemas.search_config import DenseConfig, HybridConfig
from tests.bench.figures import Figure, compare_cpu
from tests.bench.sample import find_asset_path

K = 5
ENCODED = 256
"""Passages that the encoder's speed is measured on."""

Question = tuple[str, frozenset[str]]


def measure_quality(shard: Path, index: Path, bare: Path, questions: Sequence[Question]) -> list[Figure]:
    """Recall of supporting passages among the first five, and how fast passages become vectors."""
    config = DenseConfig()
    encoder = load_encoder(find_asset_path(config.encoder), config, config.encoder)
    words, vectors = Bm25Engine(index), DenseEngine(embed_once(shard, config, encoder), config, encoder)
    found = {
        "bare bm25s": search_bare(bare, words.store, questions),
        "BM25": search_ours(words, questions),
        "dense": search_ours(vectors, questions),
        "hybrid": search_ours(HybridEngine(words, vectors, HybridConfig()), questions),
    }
    recalls = {name: measure_recall(hits, questions) for name, hits in found.items()}
    note = f"{len(questions)} questions"
    figures = [Figure(f"recall@{K} {name}", recall, "of supporting", note=note) for name, recall in recalls.items()]
    gain = recalls["hybrid"] - max(recalls["BM25"], recalls["dense"], recalls["bare bm25s"])
    return [
        *figures,
        Figure(f"recall@{K} hybrid above the better of the others", gain, "points", ">= 0.001"),
        *compare_encoder(encoder, list(words.store.read_texts(0, ENCODED))),
    ]


def embed_once(shard: Path, config: DenseConfig, encoder: TransformersEncoder) -> Path:
    """The folder of the dense index over the passages, in the cache."""
    settings = config.model_dump(mode="json", exclude={"device", "batch"})
    folder = cache_folder().parent / "bench" / f"dense-{content_id(hash_file(shard), settings)}"
    build_store([shard], folder / "passages")
    build_dense(folder, config, encoder)
    return folder


def search_ours(engine: SearchEngine, questions: Sequence[Question]) -> list[set[str]]:
    """Ids of the first hits for each question."""
    calls = engine.search([SearchRequest(question) for question, _ in questions], K)
    return [{hit.passage_id for hit in call.hits} for call in calls]


def search_bare(bare: Path, store: PassageStore, questions: Sequence[Question]) -> list[set[str]]:
    """The same by bare bm25s over the same terms."""
    model = bm25s.BM25.load(bare, mmap=True, show_progress=False)
    tokenize = make_tokenizer("en")
    rows = model.retrieve([tokenize(question) for question, _ in questions], k=K, show_progress=False).documents
    return [{store.id_at(int(row)) for row in own} for own in rows]


def measure_recall(found: Sequence[set[str]], questions: Sequence[Question]) -> float:
    """Mean share of the supporting passages that were found."""
    return sum(len(hits & wanted) / len(wanted) for hits, (_, wanted) in zip(found, questions, strict=True)) / len(
        found
    )


def compare_encoder(encoder: TransformersEncoder, texts: list[str]) -> list[Figure]:
    """Encoding against bare forward passes over the very batches it makes, already cut into ids."""
    batches: list[dict[str, Any]] = []
    model = encoder.model
    forward = model.forward

    def watch(**columns: Any) -> Any:
        batches.append(columns)
        return forward(**columns)

    model.forward = watch
    encoder.encode(texts)
    model.forward = forward

    def run_bare() -> None:
        with torch.inference_mode():
            for columns in batches:
                model(**columns)

    ours, bare, ratio = compare_cpu(lambda: encoder.encode(texts), run_bare, rounds=3)
    return [
        Figure("bare forward passes", len(texts) / bare, "passages/s/core"),
        Figure("encoder", len(texts) / ours, "passages/s/core"),
        Figure("encoder / bare forward passes", ratio, "x", ">= 0.9"),
    ]
