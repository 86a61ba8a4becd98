"""Fillings scored by a causal model: one pass for all texts gives what one pass a text gives."""

from __future__ import annotations

import pytest
import torch

from pipeline.agents.extractive.filling import Filling
from pipeline.masking.causal_scorer import AFTER, BEFORE, CausalScorer
from tests.pipeline.masking.test_perplexity import make_scorer

TEXTS = ("Ion Vasile", "1871", "x")


def score_naively(scorer: CausalScorer, filling: Filling) -> list[float]:
    """One plain forward pass for each text. A token is a byte, and the tokenizer has none to open with."""

    def encode(text: str) -> list[int]:
        ids: list[int] = scorer._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    space = " " if filling.before.endswith(" ") else ""
    prefix = encode(filling.title + "\n") + encode(filling.before.rstrip())[-BEFORE:]
    found = []
    for text in filling.texts:
        target = encode(space + text) + encode(filling.after)[:AFTER]
        with torch.inference_mode():
            logits = scorer._model(torch.tensor([prefix + target])).logits[0].double().log_softmax(-1)
        rows = logits[len(prefix) - 1 : -1]
        found.append(sum(rows[i, token].item() for i, token in enumerate(target)))
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The bridge was built by ", " in the year of the flood."),
        ("(", ")"),
        ("", ""),
        ("a long text before the mask " * 9, " and what follows it" * 9),
    ],
)
def test_all_texts_in_one_pass_score_as_each_alone(before: str, after: str) -> None:
    scorer, filling = make_scorer(), Filling("Mara", before, after, TEXTS)
    assert scorer.score_filling(filling) == pytest.approx(score_naively(scorer, filling), abs=0.02)
