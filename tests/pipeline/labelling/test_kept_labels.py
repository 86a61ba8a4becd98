"""The labels that are kept: every mask has the codes of both readers, and they agree as far as is said beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.labelling.agreement import compare_raters
from pipeline.labelling.store import read_mask_labels

LABELS = Path(__file__).parents[2] / "labels"


@pytest.mark.parametrize(
    ("lang", "masks", "kappas"),
    [
        ("en", 135, {"needs": 0.76, "needs_search": 0.73, "fillings": 0.91, "unit": 1.0, "aliases": 0.82}),
        ("zh", 75, {"needs": 0.79, "needs_search": 0.79, "fillings": 0.75, "unit": 0.82, "aliases": 0.76}),
    ],
)
def test_two_readers_labelled_every_mask(lang: str, masks: int, kappas: dict[str, float]) -> None:
    labels = read_mask_labels(LABELS / f"masks.{lang}.jsonl.gz")
    assert len(labels) == 2 * masks
    ((first, second, codes),) = compare_raters(labels)
    assert (first, second) == ("a", "b")
    assert {one.masks for one in codes} == {masks}
    assert {one.code: one.kappa.value for one in codes} == pytest.approx(kappas, abs=0.005)
