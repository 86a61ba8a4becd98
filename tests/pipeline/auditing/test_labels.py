"""Labelled masks: agreement of a perfect and of a reversed difficulty, both raters, files that are no labels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.auditing.labels import LabelledPassage, read_labels, score_labels
from pipeline.errors import ConfigError
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.drafts import SpanAssessment
from schemas.passages import Passage

GOOD, BAD = {"unit": "good"}, {"unit": "bad"}
TEXT = "Vera Holt came to Lumea in 1868 with Ada."


def mask(text: str, kind: str, needs: str, second: str | None = None, unit: str = "good") -> dict[str, object]:
    start = TEXT.index(text)
    row = {"start": start, "end": start + len(text), "kind": kind, "label": "x", "source": "ner", "needs": needs}
    more = {"second_rater": {"needs": second, "unit": unit}} if second else {}
    return row | {"unit": unit} | more


ROW = {
    "title": "Lumea",
    "text": TEXT,
    "masks": [
        mask("Vera Holt", "entity", "search", "search"),
        mask("1868", "date", "search", "general_knowledge"),
        mask("Ada", "entity", "given_away", unit="bad"),
    ],
}


def read(path: Path, *rows: object) -> list[LabelledPassage]:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return list(read_labels(path))


def assess_as(*found: SpanAssessment) -> object:
    def assess(given: Sequence[tuple[Passage, Sequence[SpanCandidate]]]) -> list[list[SpanAssessment]]:
        ((passage, candidates),) = given
        assert [passage.text[c.start : c.end] for c in candidates] == ["Vera Holt", "1868", "Ada"]
        return [list(found)]

    return assess


@pytest.mark.parametrize(("difficulties", "auc", "names"), [((0.9, 0.2, 0.1), 1.0, 1.0), ((0.1, 0.2, 0.1), 0.25, 0.5)])
def test_scores(tmp_path: Path, difficulties: tuple[float, ...], auc: float, names: float) -> None:
    reasons = (None, "easy", None)
    found = [SpanAssessment(reason, difficulty) for reason, difficulty in zip(reasons, difficulties, strict=True)]
    score = score_labels(read(tmp_path / "labels.gz", ROW), assess_as(*found))  # type: ignore[arg-type]  # made here
    assert [(one.name, one.count, one.of) for one in score.measures] == [
        ("kept_share", 2, 3), ("needs_search_share", 1, 2), ("bad_units_kept", 1, 2)
    ]  # fmt: skip
    assert (score.auc, score.auc_names) == (auc, names)


@pytest.mark.parametrize("row", [{"title": "x"}, ROW | {"text": "short"}, ROW | {"masks": [{"start": 0}]}, 7])
def test_a_line_that_is_no_passage_is_named(tmp_path: Path, row: object) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        read(tmp_path / "labels.gz", ROW, row)
