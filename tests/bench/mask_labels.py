"""The estimate of a mask's difficulty against masks that two readers labelled: fit, and what a threshold keeps."""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.masking.perplexity import SpanContext, cut_segments
from pipeline.masking.span_difficulty import FIGURES, is_common, scale_count
from pipeline.search.bm25 import Bm25Engine
from schemas.masking_config import MaskingConfig
from schemas.tasks import SpanKind
from tests.bench.figures import Figure
from tests.bench.sample import cut_sample, find_asset_path, write_index

LABELS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mask_labels.jsonl.gz"
RIDGE = 0.5
STEPS = 30
FACTS = ("constant", "figure", "common", "surprisal", "passages")
WITHOUT = {"all facts": (), "no corpus": ("passages",), "no scorer": ("surprisal",), "kind": ("passages", "surprisal")}


@dataclass(frozen=True, slots=True)
class LabelledMask:
    """A labelled mask: its facts, in the order of `FACTS`, and whether both readers say that it needs a search."""

    task: int
    kind: SpanKind
    facts: tuple[float, ...]
    needs_search: bool


def run() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        masks = read_masks(AnswerCounts(Bm25Engine(write_index(cut_sample(128), Path(folder)))))
    return [figure for name, without in WITHOUT.items() for figure in judge_fit(name, without, masks)]


def read_masks(counts: AnswerCounts) -> list[LabelledMask]:
    """The labelled masks, with their facts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(find_asset_path("smollm2-135m-instruct"))
    masks = []
    for task, line in enumerate(gzip.decompress(LABELS.read_bytes()).splitlines()):
        row = json.loads(line)
        for mask in row["masks"]:
            kind, text = SpanKind(mask["kind"]), row["text"][mask["start"] : mask["end"]]
            cut = cut_segments(SpanContext("", row["text"], ((mask["start"], mask["end"]),)))
            tokens = len(tokenizer(cut.spans[0], add_special_tokens=False)["input_ids"])
            facts = (
                1.0,
                float(kind in FIGURES),
                float(is_common(kind, mask["label"], text)),
                math.log(math.log(mask["token_perplexity"]) * tokens),
                math.log1p(scale_count(counts.count(text), counts.passages)),
            )
            needs = [codes["needs"] == "search" for codes in (mask, mask["second_rater"])]
            masks.append(LabelledMask(task, kind, facts, all(needs)))
    return masks


def judge_fit(name: str, without: Sequence[str], masks: Sequence[LabelledMask]) -> list[Figure]:
    """Fit without some facts; judge each task's masks by a fit to the others."""
    used = [index for index, fact in enumerate(FACTS) if fact not in without]
    facts = np.array([[mask.facts[index] for index in used] for mask in masks])
    needs = np.array([mask.needs_search for mask in masks])
    tasks = np.array([mask.task for mask in masks])
    odds = np.zeros(len(masks))
    for task in set(tasks.tolist()):
        odds[tasks == task] = facts[tasks == task] @ fit(facts[tasks != task], needs[tasks != task])
    names = np.array([mask.kind not in FIGURES for mask in masks])
    kept = 1 / (1 + np.exp(-odds)) >= MaskingConfig().min_difficulty
    weights = ", ".join(f"{FACTS[i]} {w:.2f}" for i, w in zip(used, fit(facts, needs), strict=True))
    figures = [
        Figure(f"AUC, {name}", measure_auc(odds, needs), "", note=weights),
        Figure(f"AUC of names and terms, {name}", measure_auc(odds[names], needs[names]), ""),
        Figure(f"kept, {name}", float(kept.mean()), "share"),
        Figure(f"kept that need a search, {name}", float(needs[kept].mean()), "share"),
    ]
    bounds = (">= 0.85", ">= 0.78", ">= 0.4", ">= 0.8")
    if without:
        return figures
    return [Figure(f.name, f.value, f.unit, bound, f.note) for f, bound in zip(figures, bounds, strict=True)]


def fit(facts: np.ndarray, needs: np.ndarray) -> np.ndarray:
    """Logistic regression with a ridge penalty on everything but the constant, by Newton's method."""
    penalty = np.full(facts.shape[1], RIDGE)
    penalty[0] = 0.0
    weights = np.zeros(facts.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-facts @ weights))
        slope = facts.T @ (expected - needs) + penalty * weights
        curvature = (facts.T * (expected * (1 - expected))) @ facts + np.diag(penalty)
        weights -= np.linalg.solve(curvature, slope)
    return weights


def measure_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive has the higher score."""
    above = scores[positive][:, None] - scores[~positive]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))
