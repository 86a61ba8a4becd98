"""The report: sums that agree with the records, outside text that can do nothing, and a layout that lays out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.charts.funnel import lay_funnel
from pipeline.charts.layout import BOTTOM, HEIGHT, LEFT, WIDTH, Bar, Histogram, lay_histogram
from pipeline.report.agreement import compare_steps
from pipeline.report.collecting import collect_report
from pipeline.report.page import build_report
from pipeline.report.report_data import ReportData, ReportExample
from pipeline.report.text_pieces import cut_at_masks, mark_forms, show_controls
from schemas.funnel import NOT_SAMPLED, FunnelStep
from schemas.judgements import Judgement
from schemas.tasks import MASK
from tests.support.report_samples import COMPARISONS, GOLDS, POISON, TEXT, make_examples, make_record, write_shards

EXAMPLES = make_examples(48)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """Collected from a folder whose name holds what DuckDB and Hive would read as patterns and partitions."""
    shards = write_shards(tmp_path_factory.mktemp("run") / "a[b]*?" / "year=1868", EXAMPLES)
    return collect_report(make_record(), shards, examples=20)


def judged(example: ReportExample) -> Judgement:
    assert example.judgement is not None
    return example.judgement


def test_histograms_agree_with_the_records(data: ReportData) -> None:
    bars = {h.title: {bar.label: (bar.count, bar.accepted) for bar in h.bars} for h in data.histograms}
    kept = Counter(str(e.task.mask_count) for e in EXAMPLES if judged(e).accepted)
    tried = Counter(str(e.task.mask_count) for e in EXAMPLES)
    assert bars["Masks a task"] == {k: (n, kept[k]) for k, n in tried.items()}
    kinds = Counter(span.kind.value for e in EXAMPLES for span in e.task.spans)
    assert bars["Kinds of mask"] == {kind: (n, None) for kind, n in kinds.items()}
    assert sum(n for n, _ in bars["Similarity of answers"].values()) == sum(e.task.mask_count for e in EXAMPLES)
    assert list(bars["Token F1"])[-1] == "1.0"


def test_acceptance_agrees_with_the_records(data: ReportData) -> None:
    for row in data.acceptance:
        group = [e for e in EXAMPLES if e.trajectory.hide.value == row.hide and row.masks in (0, e.task.mask_count)]
        verdicts = [judged(e) for e in group]
        assert row.attempts == len(verdicts)
        assert row.accepted == sum(j.accepted for j in verdicts)
        assert row.seen == sum(j.answer_seen for j in verdicts)
        assert row.accepted_seen == sum(j.accepted and j.answer_seen for j in verdicts)
        assert row.source_shown == sum(j.from_source_page for j in verdicts)
    assert sum(row.attempts for row in data.acceptance if not row.masks) == len(EXAMPLES)


def test_examples_mix_everything_and_are_always_the_same(data: ReportData, tmp_path: Path) -> None:
    assert len(data.examples) == 20
    assert Counter(judged(e).accepted for e in data.examples) == {True: 10, False: 10}
    assert {e.task.mask_count for e in data.examples} == {1, 2, 3, 4}
    assert len({e.trajectory.hide for e in data.examples}) == 2
    other = collect_report(make_record(), write_shards(tmp_path, list(reversed(EXAMPLES))), examples=20)
    assert other.examples == data.examples
    assert build_report(data) == build_report(data)


def test_tasks_of_eight_masks_have_rows_and_examples(tmp_path: Path) -> None:
    golds = (*GOLDS, "41 years", "12 kilometres", "first", "paraffin")
    examples = make_examples(48, golds=golds)
    data = collect_report(make_record(), write_shards(tmp_path, examples), examples=48)
    tried = Counter(e.task.mask_count for e in examples)
    rows = Counter[int]()
    for row in data.acceptance:
        rows[row.masks] += row.attempts
    assert rows == {**tried, 0: len(examples)}
    page = build_report(data)
    assert "8 masks" in page
    assert page.index(">7<") < page.index(">8<")


def test_a_run_without_anything_still_has_a_report() -> None:
    record = make_record().model_copy(update={"funnel": (), "timings": ()})
    page = build_report(collect_report(record, {}, examples=20))
    assert "Nothing has been judged yet" in page


def test_report_needs_nothing_from_outside(data: ReportData) -> None:
    page = build_report(data)
    assert not re.search(r'\bsrc\s*=|href="(?!#)|url\(|@import', page)
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in page


def test_report_shows_spending_by_role_and_per_accepted(data: ReportData) -> None:
    page = build_report(data)
    assert "For each of the 4 accepted trajectories" in page
    assert re.search(r'<td>planner</td><td>m-priced</td><td class="n">1,200</td>.*?<td class="n">2.4000</td>', page)
    assert re.search(r'<td>judge</td><td>m-free</td>.*?<td class="n">–</td></tr>', page)
    assert re.search(r'class="total"><td>all</td><td class="n">325.0</td>', page)
    assert "No price is known for m-free" in page


def test_poison_is_only_text() -> None:
    examples = make_examples(6, text=f"{TEXT} {POISON}", golds=[*GOLDS[:2], "<script>window"])
    bent = [
        e.__class__(
            e.task.model_copy(update={"title": POISON, "section": (POISON,), "task_id": POISON}),
            e.trajectory.model_copy(update={"final_think": POISON, "policy": POISON}),
            judged(e).model_copy(update={"reason": POISON}),
        )
        for e in examples
    ]
    funnel = (*make_record().funnel, *COMPARISONS)
    record = make_record(POISON).model_copy(update={"run": POISON, "sources": {POISON: POISON}, "funnel": funnel})
    page = build_report(ReportData(record, (), (), (), tuple(bent)))
    assert page.count("<script") == page.count("</script") == 1
    assert "<img" not in page
    assert page.count("</style") == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert "⟦U+202E⟧gnp.exe" in page
    assert "{{ 7*7 }}" in page


@given(
    st.text(alphabet="ab1868 北京().", max_size=60), st.lists(st.text(alphabet="ab1868北京.", max_size=5), max_size=4)
)
def test_marking_loses_no_character(text: str, forms: list[str]) -> None:
    pieces = mark_forms(text, gold=forms[::2], wrong=forms[1::2])
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.mark is None or piece.text in text for piece in pieces)


def test_marks_cover_whole_words_and_gold_has_precedence() -> None:
    found = [
        (p.text, p.mark)
        for p in mark_forms("In 1868, not 18681; Ada. 在北京", ["1868", "北京"], ["1868", "ada"])
        if p.mark
    ]
    assert found == [("1868", "gold"), ("Ada", "wrong"), ("北京", "gold")]


def test_masks_are_numbered_in_order() -> None:
    pieces = cut_at_masks(f"{MASK} then {MASK}.")
    assert [p.mask for p in pieces if p.mask is not None] == [0, 1]
    assert "".join(p.text for p in pieces) == " then ."
    assert show_controls("a\ud800\u2066\n") == "a⟦U+D800⟧⟦U+2066⟧\n"


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_bars_stay_inside_the_drawing(counts: list[int]) -> None:
    chart = lay_histogram(
        Histogram("t", "a", "things", tuple(Bar(str(n), count, count // 2) for n, count in enumerate(counts)))
    )
    assert 2 <= len(chart.ticks) <= 7
    for column in chart.columns:
        whole, accepted = column.rects
        assert LEFT <= whole.x <= whole.x + whole.width <= WIDTH
        assert 0 <= accepted.height <= whole.height + 0.1 <= HEIGHT - BOTTOM


def test_funnel_bands_join_inside_a_unit_and_start_afresh_after() -> None:
    steps = lay_funnel(make_record().funnel)
    pages = [step for step in steps if step.units == "pages"]
    assert pages[0].top == 100
    assert pages[1].top == pages[0].bottom
    assert steps[2].top == 100
    assert steps[2].bridge == "16.7 passages from each page"
    assert steps[-1].bridge == "1.0 trajectories from each task"
    assert all(step.lost == sum(loss.count for loss in step.losses) for step in steps)


def test_units_come_from_the_items_that_were_looked_at() -> None:
    passages = FunnelStep.count("spans", "passage", 2, {"no_span": 8, NOT_SAMPLED: 90})
    spans = FunnelStep.count("spans", "span", 5, {"weak": 15})
    assert lay_funnel([passages, spans])[1].bridge == "2.0 spans from each passage"


def test_comparisons_are_described_and_not_part_of_the_funnel() -> None:
    entity, term, audited, unknown = compare_steps([*make_record().funnel, *COMPARISONS])
    assert entity.topic == "entities found by the model, and by recogniser, links, rules"
    assert (entity.compared, entity.agreed) == (1520, 905)
    assert entity.differences == (("only recogniser, links, rules", 411), ("only the model", 204))
    assert term.differences[0] == ("only the model", 180)
    assert audited.differences == (("the model cannot say", 5), ("the model says incorrect", 3))
    assert unknown.topic == f"{POISON}: {POISON}"
    record = make_record()
    plain = build_report(ReportData(record, (), (), (), ()))
    page = build_report(
        ReportData(record.model_copy(update={"funnel": (*record.funnel, *COMPARISONS)}), (), (), (), ())
    )
    assert 'id="agreement"' not in plain
    assert page.count('class="step"') == plain.count('class="step"')
    assert "59.5%" in page[page.index('id="agreement"') :]
