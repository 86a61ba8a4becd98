"""Labelled masks: agreement of a perfect and of a reversed difficulty, both raters, files that are no labels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.auditing.labels import RatedMask, choose_bound, score_labels
from pipeline.errors import ConfigError
from pipeline.labelling.labelled_passages import LabelledMask, LabelledPassage, read_labels
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


MASKS = [
    mask("Vera Holt", "entity", "search", "search"),
    mask("1868", "date", "search", "general_knowledge"),
    mask("Ada", "entity", "given_away", unit="bad"),
]
ROW = {"title": "Lumea", "text": TEXT, "masks": MASKS}


def read(path: Path, *rows: object) -> list[LabelledPassage]:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return list(read_labels(path, lambda ids: []).passages)


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
        ("kept_share", 2, 3), ("needs_search_share", 1, 2), ("bad_units_kept", 1, 2), ("wrong_aliases", 0, 0)
    ]  # fmt: skip
    assert (score.auc, score.auc_names, score.auc_entities) == (auc, names, names)
    assert score.held_out is None
    assert [(one.code, one.masks, one.equal) for one in score.agreement] == [
        ("needs", 2, 1), ("needs_search", 2, 1), ("unit", 2, 2)
    ]  # fmt: skip


def test_aliases_are_counted_one_by_one_where_they_were_coded_so(tmp_path: Path) -> None:
    def code(masks: Sequence[dict[str, object]]) -> list[tuple[int, int]]:
        rows = [ROW | {"masks": [one | more for one, more in zip(MASKS, masks, strict=True)]}]
        kept = [SpanAssessment(None, 0.5), SpanAssessment(None, 0.5), SpanAssessment("easy", 0.1)]
        score = score_labels(read(tmp_path / "labels.gz", *rows), assess_as(*kept))  # type: ignore[arg-type]  # made here
        return [(one.count, one.of) for one in score.measures if one.name == "wrong_aliases"]

    wrong: dict[str, object] = {"aliases": "wrong"}
    assert code([wrong, {"aliases": "ok"}, wrong]) == [(1, 2)]
    assert code([wrong | {"alias_codes": {"a": "ok", "b": "wrong"}}, {}, {}]) == [(1, 2)]


def test_the_bound_is_chosen_on_one_half_and_scored_on_the_other(tmp_path: Path) -> None:
    """Difficulty tells the masks that need a search apart, but for one of ten; tasks fall in the same half again."""
    rows = [
        {"title": f"Page {n}", "text": "abc", "masks": [{
            "start": 0, "end": 3, "kind": "entity", "label": "x", "source": "ner",
            "needs": "search" if n % 2 else "given_away", "unit": "good",
        }]}
        for n in range(40)
    ]  # fmt: skip

    def assess(given: Sequence[tuple[Passage, Sequence[SpanCandidate]]]) -> list[list[SpanAssessment]]:
        numbers = [int(passage.title.split()[1]) for passage, _ in given]
        return [[SpanAssessment("easy", 0.8 if n % 2 or n == 0 else 0.2)] for n in numbers]

    passages = read(tmp_path / "labels.gz", *rows)
    half = score_labels(passages, assess).held_out
    assert half is not None
    assert half == score_labels(passages[::-1], assess).held_out
    assert (half.bound, half.chosen_on, half.scored_on) == (0.8, (20, 20), (20, 20))
    share = half.estimates["needs_search_share"]
    assert share.value is not None
    assert share.low is not None
    assert share.low <= share.value
    assert half.estimates["wrong_aliases"].value is None
    assert half.estimates["bad_units_kept"].value == 0


@pytest.mark.parametrize(
    ("found", "bound"),
    [
        ([(0.9, True), (0.8, True), (0.7, False), (0.6, True)], 0.8),
        ([(0.9, False), (0.8, True), (0.7, False)], 0.8),
        ([(0.5, True), (0.5, False)], 0.5),
        ([], None),
    ],
)
def test_the_lowest_bound_that_reaches_the_target_is_chosen(
    found: Sequence[tuple[float, bool]], bound: float | None
) -> None:
    masks = [
        RatedMask(
            LabelledMask.model_validate(mask("Ada", "entity", "search" if needed else "given_away")),
            SpanAssessment("easy", difficulty),
        )
        for difficulty, needed in found
    ]
    refused = RatedMask(LabelledMask.model_validate(mask("Ada", "entity", "search")), SpanAssessment("in_title", 0.1))
    assert choose_bound([*masks, refused]) == bound


@pytest.mark.parametrize("row", [{"title": "x"}, ROW | {"text": "short"}, ROW | {"masks": [{"start": 0}]}, 7])
def test_a_line_that_is_no_passage_is_named(tmp_path: Path, row: object) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        read(tmp_path / "labels.gz", ROW, row)
