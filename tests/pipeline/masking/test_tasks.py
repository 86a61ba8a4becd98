"""From spans to tasks: balance, neighbours, byte-equal filling, order independence."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.masking.balance import assign_counts, balance_counts
from pipeline.masking.sampling import count_needed, sample_passages
from pipeline.masking.task_stage import SpannedPassage, TaskStage, build_task
from schemas.distill_config import DistillConfig
from schemas.evidence import Evidence
from schemas.funnel import Reject
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import MASK, MOST_MASKS, AnswerStyle, MaskTask, Span, SpanKind, SpanSet, SpanSource


def make_item(number: int, pieces: list[str]) -> SpannedPassage:
    """Pieces at odd places are spans; surprisals rise along the text, and difficulties fall."""
    text = "".join(pieces)
    spans = []
    at = 0
    for index, piece in enumerate(pieces):
        if index % 2:
            spans.append(
                Span(
                    start=at, end=at + len(piece), text=piece, kind=SpanKind.ENTITY, label="x", source=SpanSource.NER,
                    target=None, aliases=(), surprisal=2.0 + index,
                    perplexity=2.0, difficulty=1 / (index + 1),
                )
            )  # fmt: skip
        at += len(piece)
    passage = Passage(
        passage_id=f"p{number}", document_id="d", page_id=1, lang="en", title="T", section=("S",), text=text, start=0,
        end=len(text), tokens=1, links=(),
    )  # fmt: skip
    return SpannedPassage(passage, SpanSet(passage_id=f"p{number}", spans=tuple(spans), scorer="s"))


def make_evidence(page: int, *clues: str) -> Evidence:
    return Evidence(passage_id=f"e{page}", page_id=page, start=0, end=9, clues=clues or ("a", "b", "c"), score=9.0)


def make_shard(capacities: list[int]) -> list[SpannedPassage]:
    return [
        make_item(n, ["It", *(x for i in range(size) for x in (f" Name{i}", " and so"))])
        for n, size in enumerate(capacities)
    ]


def make_tasks(
    items: list[SpannedPassage], config: MaskingConfig | None = None, seed: int = 0, quota: int | None = None
) -> list[MaskTask]:
    outcomes = list(TaskStage(config or MaskingConfig(), seed, quota).run(items))
    assert sorted(outcome.key for outcome in outcomes) == sorted(item.key for item in items)
    return [row for outcome in outcomes for row in outcome.rows if isinstance(row, MaskTask)]


def count_masks(tasks: list[MaskTask]) -> list[int]:
    return [sum(1 for task in tasks if task.mask_count == k) for k in (1, 2, 3, 4)]


@given(
    pages=st.lists(st.sets(st.integers(1, 9), max_size=3), min_size=1, max_size=12),
    least=st.integers(1, MOST_MASKS),
    scope=st.sampled_from(["passage", "page"]),
)
def test_masks_of_a_task_need_enough_pages(pages: list[set[int]], least: int, scope: str) -> None:
    (item,) = make_shard([len(pages)])
    spans = [
        span.model_copy(update={"evidence": tuple(make_evidence(page) for page in sorted(held))})
        for span, held in zip(item.span_set.spans, pages, strict=True)
    ]
    item = SpannedPassage(item.passage, item.span_set.model_copy(update={"spans": tuple(spans)}))
    counts = tuple(range(least, MOST_MASKS + 1))
    config = MaskingConfig.model_validate({"evidence": scope, "min_pages": least, "mask_counts": counts})
    (outcome,) = TaskStage(config, 0).run([item])
    tasks = [row for row in outcome.rows if isinstance(row, MaskTask)]
    usable = [held - ({item.passage.page_id} if scope == "page" else set()) for held in pages]
    for task in tasks:
        held = [usable[spans.index(span)] for span in task.spans]
        assert least == 1 or sum(map(bool, held)) >= least
        # No smaller set of pages has one of each mask that has any.
        assert least == 1 or not any(
            all(h & set(read) for h in held if h) for read in combinations(range(1, 10), least - 1)
        )
    apart = any(all(not a & b for a, b in combinations(some, 2)) for some in combinations(filter(None, usable), least))
    if not tasks:
        (reject,) = (row for row in outcome.rows if isinstance(row, Reject))
        assert reject.reason == ("too_few_spans" if least == 1 else "too_few_pages")
    if least > 1:
        assert apart or not tasks


@given(clues=st.lists(st.sets(st.integers(0, 7), min_size=2, max_size=4), min_size=1, max_size=8))
def test_no_mask_hides_the_clues_of_another(clues: list[set[int]]) -> None:
    (item,) = make_shard([len(clues)])
    spans = [
        span.model_copy(update={"evidence": (make_evidence(9, *(f"name{n}" for n in sorted(held)), "else"),)})
        for span, held in zip(item.span_set.spans, clues, strict=True)
    ]
    item = SpannedPassage(item.passage, item.span_set.model_copy(update={"spans": tuple(spans)}))
    config = MaskingConfig(evidence=EvidenceScope.PASSAGE, evidence_clues=2)
    (outcome,) = TaskStage(config, 0, tokenize=lambda text: text.lower().split()).run([item])
    (task,) = (row for row in outcome.rows if isinstance(row, MaskTask))
    for span in task.spans:
        hidden = {other.text.lower() for other in task.spans if other is not span}
        assert len(set(span.evidence[0].clues) - hidden) >= 2


def test_pages_need_evidence_and_masks() -> None:
    for wrong in ({"min_pages": 2, "mask_counts": (2, 3)}, {"min_pages": 2, "evidence": "page"}):
        with pytest.raises(ValidationError):
            MaskingConfig.model_validate(wrong)


@pytest.mark.parametrize("counts", [(), (0,), (MOST_MASKS + 1,), (1, 99)])
def test_a_task_has_one_to_eight_masks(counts: tuple[int, ...]) -> None:
    assert MaskingConfig(mask_counts=(1, MOST_MASKS)).mask_counts == (1, 8)
    with pytest.raises(ValidationError):
        MaskingConfig(mask_counts=counts)
    with pytest.raises(ValidationError):
        DistillConfig(curriculum=(counts,))


def test_tasks_of_many_masks_are_balanced() -> None:
    tasks = make_tasks(make_shard([8, 9, 12, 6, 5, 5, 3]), MaskingConfig(mask_counts=(5, 6, 8)))
    assert sorted(task.mask_count for task in tasks) == [5, 5, 6, 6, 8, 8]
    assert MaskingConfig().mask_counts == (1, 2, 3, 4)


PIECES = st.lists(st.text("ab é京\n[]m,", min_size=1, max_size=6), min_size=2, max_size=14)


@settings(deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6), st.integers(0, 9), st.sampled_from(list(Selection)), st.integers(1, 3))
def test_filling_restores_the_passage(shard: list[list[str]], seed: int, selection: Selection, most: int) -> None:
    items = [make_item(n, pieces) for n, pieces in enumerate(shard)]
    texts = {item.key: item.passage.text for item in items}
    config = MaskingConfig(selection=selection, tasks_per_passage=most)
    for task in make_tasks(items, config, seed):
        gold = [span.text for span in task.spans]
        assert task.fill(gold) == texts[task.passage_id]
        assert task.mask_count == task.masked_text.count(MASK) == len(task.spans)
        assert [span.start for span in task.spans] == sorted(span.start for span in task.spans)


@given(st.lists(st.integers(0, 9), max_size=40), st.sets(st.integers(1, MOST_MASKS), min_size=1), st.integers(0, 50))
def test_counts_are_as_equal_as_passages_allow(capacities: list[int], wanted: set[int], limit: int) -> None:
    counts = balance_counts(capacities, tuple(wanted), limit, turn=limit)
    able = sum(1 for capacity in capacities if capacity >= min(wanted))
    assert sum(counts.values()) == min(able, limit)
    assigned = assign_counts(capacities, counts)
    assert {k: assigned.count(k) for k in wanted} == counts
    assert all(k is None or k <= capacity for k, capacity in zip(assigned, capacities, strict=True))
    for high in wanted:
        for low in wanted:
            if counts[low] > counts[high] + 1:  # one more of `high` for one less of `low` must be impossible
                moved = {**counts, high: counts[high] + 1, low: counts[low] - 1}
                assert sum(1 for k in assign_counts(capacities, moved) if k) < sum(counts.values())


@pytest.mark.parametrize(
    ("capacities", "quota", "counts"),
    [
        ([5] * 40, None, [10, 10, 10, 10]),
        ([1] * 50 + [4] * 30, None, [50, 10, 10, 10]),
        ([1] * 50 + [4] * 10, 40, [30, 4, 3, 3]),
        ([6] * 9, 4, [1, 1, 1, 1]),
    ],
)
def test_scarce_passages_are_kept_for_large_counts(capacities: list[int], quota: int | None, counts: list[int]) -> None:
    found = count_masks(make_tasks(make_shard(capacities), quota=quota))
    assert (found[0], sorted(found)) == (counts[0], sorted(counts))


def test_order_does_not_matter_and_the_seed_does() -> None:
    items = make_shard([3, 4, 5, 6, 2, 9, 1, 4])
    tasks = make_tasks(items)
    assert make_tasks(items[::-1]) == tasks
    assert {t.task_id for t in make_tasks(items, seed=1)} != {t.task_id for t in tasks}


def test_neighbours_are_not_hidden_together() -> None:
    item = make_item(0, ["In ", "Redon", ", ", "Brittany", " lived ", "Ann", " (", "Bo", ")."])
    for seed in range(8):
        (task,) = make_tasks([item], MaskingConfig(mask_counts=(2,)), seed)
        assert "[mask], [mask]" not in task.masked_text
        assert "[mask] ([mask]" not in task.masked_text


def test_perplexity_takes_the_most_surprising_first_and_difficulty_the_most_difficult() -> None:
    config = MaskingConfig(selection=Selection.PERPLEXITY, mask_counts=(2,), tasks_per_passage=2)
    first, second = make_tasks(make_shard([5]), config)
    assert [span.text for span in first.spans] == [" Name3", " Name4"]
    assert [span.text for span in second.spans] == [" Name1", " Name2"]
    assert first.difficulty == pytest.approx((1 / 8 + 1 / 10) / 2, abs=1e-4)
    hard, _ = make_tasks(make_shard([5]), config.model_copy(update={"selection": Selection.DIFFICULTY}))
    assert [span.text for span in hard.spans] == [" Name0", " Name1"]


def make_mixed_item(number: int, kinds: list[SpanKind]) -> SpannedPassage:
    item = make_shard([len(kinds)])[0]
    spans = zip(item.span_set.spans, kinds, strict=True)
    changed = tuple(span.model_copy(update={"kind": kind}) for span, kind in spans)
    key = f"p{number}"
    passage = item.passage.model_copy(update={"passage_id": key})
    return SpannedPassage(passage, item.span_set.model_copy(update={"passage_id": key, "spans": changed}))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(list(SpanKind)), min_size=1, max_size=9), min_size=1, max_size=8),
    st.sampled_from(list(Selection)),
    st.sets(st.integers(1, 4), min_size=1),
    st.integers(0, 9),
)
def test_terms_are_hidden_only_for_want_of_facts(
    shard: list[list[SpanKind]], selection: Selection, counts: set[int], seed: int
) -> None:
    config = MaskingConfig(selection=selection, mask_counts=tuple(counts))
    items = [make_mixed_item(number, kinds) for number, kinds in enumerate(shard)]
    tasks = make_tasks(items, config, seed)
    assert make_tasks(items[::-1], config, seed) == tasks
    kinds_of = {item.key: [span.kind for span in item.span_set.spans] for item in items}
    for task in tasks:
        facts = sum(kind is not SpanKind.TERM for kind in kinds_of[task.passage_id])
        hidden = sum(span.kind is SpanKind.TERM for span in task.spans)
        assert hidden == max(0, task.mask_count - facts)
    made = {task.passage_id for task in tasks}  # a preference, no filter: who can be masked at all still is
    assert made == {key for key, kinds in kinds_of.items() if len(kinds) >= min(counts)}


def test_passages_left_over_say_why() -> None:
    items = make_shard([1, 3, 3])
    outcomes = TaskStage(MaskingConfig(mask_counts=(3,)), 0, quota=1).run(items)
    rejects = {row.input_id: row.reason for outcome in outcomes for row in outcome.rows if isinstance(row, Reject)}
    assert rejects["p0"] == "too_few_spans"
    assert sorted(rejects.values()) == ["over_limit", "too_few_spans"]
    assert list(TaskStage(MaskingConfig(), 0).run([])) == []


def test_answer_style_and_missing_difficulties_pass_through() -> None:
    item = make_item(0, ["In ", "Rome", "."])
    bare = item.span_set.spans[0].model_copy(update={"difficulty": None})
    task = build_task(item.passage, [bare], AnswerStyle.PARAGRAPH)
    assert (task.answer_style, task.difficulty) == (AnswerStyle.PARAGRAPH, None)
    assert task.task_id != build_task(item.passage, [bare], AnswerStyle.SPANS).task_id


def test_the_sample_is_a_hash_of_content() -> None:
    passages = [item.passage for item in make_shard([1] * 50)]
    sample = sample_passages(passages, 10, seed=3)
    assert len(sample) == 10
    assert sample == sample_passages(passages[::-1], 10, seed=3)
    assert sample < sample_passages(passages, 20, seed=3)
    assert sample != sample_passages(passages, 10, seed=4)
    assert count_needed(100) > 100
