"""Evidence in the span stage: what is kept, what is rejected, and which passages are sampled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from flows.stages.masking import PROPOSALS, span_keys
from flows.stages.passage_sample import sample_keys
from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking.filters import NO_EVIDENCE
from pipeline.masking.sampling import count_spans, sample_passages
from pipeline.masking.span_stage import SpanStage
from schemas.config import RunConfig
from schemas.funnel import Reject
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import SpanSet
from tests.support.passage_samples import make_passage
from tests.support.search_samples import open_index, write_index

if TYPE_CHECKING:
    from flows.configuration.run_context import RunContext

SAME_PAGE = "Dervin and Felmel sailed to Gadus in 1723."
PASSAGES = [
    make_passage(0, "Dervin married Felmel in 1723. Barok built Kasrok with Lumvin in 1851.", 0),
    make_passage(1, SAME_PAGE, 0),
    make_passage(2, "In 1851 Lumvin and Barok opened Kasrok.", 2),
    make_passage(3, "Nothing is told twice of the year 1644.", 3),
    *(make_passage(4 + number, f"Stone bridge {number}.", 4 + number) for number in range(300)),
]


def make_stage(folder: Path, scope: EvidenceScope) -> SpanStage:
    config = MaskingConfig(
        ner=None, links=False, scorer=None, selection=Selection.RANDOM, evidence=scope, evidence_clues=2
    )
    return SpanStage(config, evidence=EvidenceFinder(open_index(write_index(folder, PASSAGES)), 2))


def find_spans(stage: SpanStage, passage: Passage) -> tuple[list[str], list[str]]:
    """The kept spans of a passage, and the reasons of the rejected ones."""
    (outcome,) = stage.run([passage])
    kept = [span.text for row in outcome.rows if isinstance(row, SpanSet) for span in row.spans]
    return kept, [row.reason for row in outcome.rows if isinstance(row, Reject) and row.unit == "span"]


@pytest.mark.parametrize(
    ("scope", "kept"), [("none", ["1723", "1851"]), ("passage", ["1723", "1851"]), ("page", ["1851"])]
)
def test_only_spans_with_evidence_in_scope_are_kept(tmp_path: Path, scope: str, kept: list[str]) -> None:
    stage = make_stage(tmp_path, EvidenceScope(scope))
    found, reasons = find_spans(stage, PASSAGES[0])
    assert found == kept
    assert reasons == [NO_EVIDENCE] * (2 - len(kept))
    found, reasons = find_spans(stage, PASSAGES[3])
    assert (found, reasons) == ((["1644"], []) if scope == "none" else ([], [NO_EVIDENCE]))


def test_evidence_is_kept_with_the_span(tmp_path: Path) -> None:
    (outcome,) = make_stage(tmp_path, EvidenceScope.PASSAGE).run([PASSAGES[0]])
    (row,) = [row for row in outcome.rows if isinstance(row, SpanSet)]
    assert [[found.passage_id for found in span.evidence] for span in row.spans] == [["p0001"], ["p0002"]]
    (found,) = row.spans[0].evidence
    assert SAME_PAGE[found.start : found.end] == SAME_PAGE


def test_passages_with_the_most_spans_are_sampled_first(tmp_path: Path) -> None:
    counts = count_spans(make_stage(tmp_path, EvidenceScope.PASSAGE), PASSAGES)
    assert counts == {"p0000": 2, "p0001": 1, "p0002": 1}
    assert sample_passages(PASSAGES, 1, 13, counts) == {"p0000"}
    assert sample_passages(PASSAGES, 3, 13, counts) == {"p0000", "p0001", "p0002"}
    assert sample_passages(PASSAGES, 3, 13) <= sample_passages(PASSAGES, 9, 13)


def test_passages_for_the_largest_tasks_are_preferred() -> None:
    counts = {passage.passage_id: number for number, passage in enumerate(PASSAGES[:9])}
    assert sample_passages(PASSAGES, 1, 13, counts, 8) == {PASSAGES[8].passage_id}
    assert sample_passages(PASSAGES, 5, 13, counts) == {passage.passage_id for passage in PASSAGES[4:9]}


def test_only_tasks_of_more_masks_than_usual_change_the_sample() -> None:
    def name_facts(counts: list[int], **config: object) -> Mapping[str, str]:
        masking = {"limit": 5, "evidence": "passage", "ner": None, "scorer": None, "mask_counts": counts}
        context = SimpleNamespace(config=RunConfig.model_validate({"masking": masking, **config}))
        return PROPOSALS.fingerprint_inputs(cast("RunContext", context))

    assert name_facts([1]) == name_facts([1, 2, 3, 4])
    assert name_facts([5]) != name_facts([1]) != name_facts([6]) != name_facts([5])
    rounds = {"curriculum": [[1], [6]]}
    assert name_facts([1], distill=rounds) == name_facts([6], distill=rounds)


@pytest.mark.parametrize("keys", [sample_keys, span_keys])
def test_what_evidence_depends_on_decides_the_sample(keys: object) -> None:
    assert callable(keys)
    limited = RunConfig.model_validate({"masking": {"limit": 5, "evidence": "passage"}})
    plain = RunConfig.model_validate({"masking": {"limit": 5}})
    needed = {"masking.evidence_clues", "search.tokenizer", "masking.links", "masking.min_chars"}
    assert needed <= set(keys(limited))
    assert "masking.evidence_clues" not in keys(plain)


def test_passages_with_a_spans_words_are_counted(tmp_path: Path) -> None:
    counts = AnswerCounts(open_index(write_index(tmp_path, PASSAGES)))
    assert counts.passages == len(PASSAGES)
    assert [counts.count(text) for text in ("1851", "Lumvin and Barok", "Kasrok 1723", "the", "unheard")] == [
        2, 2, 1, len(PASSAGES), 0,
    ]  # fmt: skip
    config = MaskingConfig(ner=None, links=False, scorer=None)
    (outcome,) = SpanStage(config, counts=counts).run([PASSAGES[0]])
    (row,) = [row for row in outcome.rows if isinstance(row, SpanSet)]
    assert [(span.text, span.passages) for span in row.spans] == [("1723", 2), ("1851", 2)]


def test_the_bounds_of_the_sample_are_among_its_keys() -> None:
    limited = {"limit": 5, "evidence": "passage", "scorer": None}
    bounded = RunConfig.model_validate({"masking": limited})
    free = RunConfig.model_validate({"masking": {**limited, "selection": "random"}})
    assert "masking.min_difficulty" in sample_keys(bounded)
    assert "masking.min_difficulty" not in span_keys(free)
    assert "search.tokenizer" in span_keys(free)
