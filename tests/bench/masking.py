"""Span extraction against bare `nlp.pipe`, surprisals against bare forward passes over the same tokens."""

from __future__ import annotations

import time

import torch

from pipeline.masking.causal_scorer import CausalScorer, load_scorer
from pipeline.masking.entities import load_ner
from pipeline.masking.perplexity import SpanContext
from pipeline.masking.span_stage import SpanStage
from pipeline.masking.span_trees import encode_contexts, plant_rows
from schemas.masking_config import MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import SpanSet
from tests.bench.figures import Figure, compare_cpu
from tests.bench.sample import cut_sample, draw_passages, find_asset_path

EXTRACTED = 300
SCORED = 24
WHOLE_ROW = 8192
CONFIG = MaskingConfig(scorer=None, selection=Selection.RANDOM)


def run() -> list[Figure]:
    """All figures of this benchmark."""
    torch.set_num_threads(1)  # as in a worker: processes share the cores, threads would fight over them
    passages = draw_passages(cut_sample(128), EXTRACTED)
    nlp = load_ner(find_asset_path("en_core_web_sm"))
    texts = [passage.text for passage in passages]
    stage = SpanStage(CONFIG, nlp)
    ours, bare, ratio = compare_cpu(lambda: list(stage.run(passages)), lambda: list(nlp.pipe(texts, batch_size=32)))
    figures = [
        Figure("bare nlp.pipe, names only", len(passages) / bare, "passages/s/core"),
        Figure("spans: names, links, rules, filters", len(passages) / ours, "passages/s/core"),
        Figure("spans / bare nlp.pipe", ratio, "x", ">= 0.9"),
    ]
    return figures + measure_surprisals(stage, passages[:SCORED])


def measure_surprisals(stage: SpanStage, passages: list[Passage]) -> list[Figure]:
    """Ours against forward passes that predict one token each: the least a model can do with the same tokens."""
    scorer = load_scorer(find_asset_path("smollm2-135m-instruct"), "cpu")
    by_id = {passage.passage_id: passage for passage in passages}
    sets = [row for outcome in stage.run(passages) for row in outcome.rows if isinstance(row, SpanSet)]
    contexts = [
        SpanContext(by_id[s.passage_id].title, by_id[s.passage_id].text, tuple((x.start, x.end) for x in s.spans))
        for s in sets
    ]
    rows = [row.ids for tree in encode_contexts(scorer._tokenizer, contexts) for row in plant_rows(tree, WHOLE_ROW)]
    ours, bare, ratio = compare_cpu(lambda: scorer.score(contexts), lambda: forward_all(scorer, rows), rounds=3)
    started = time.perf_counter()
    scorer.score(contexts)
    seconds = time.perf_counter() - started
    tokens = sum(len(ids) for ids in rows)
    return [
        Figure("bare forward passes", tokens / bare, "tokens/s/core"),
        Figure("surprisals", tokens / ours, "tokens/s/core", note=f"{len(contexts) / seconds:.2f} passages/s"),
        Figure("surprisals / bare forward passes", ratio, "x", ">= 0.85"),
    ]


@torch.inference_mode()
def forward_all(scorer: CausalScorer, rows: list[list[int]]) -> None:
    """The bare model over the same rows."""
    for ids in rows:
        scorer._model(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
