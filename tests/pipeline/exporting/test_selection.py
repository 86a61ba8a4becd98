"""What is chosen: every example is settled once, whatever the order and the shards it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exporting.examples import ExampleSpill
from pipeline.exporting.selection import DUPLICATE, OVER_KIND, OVER_PAGE, REASONS, SHORTCUT, UNFIT, ExampleIndex
from schemas.exports import ExportSettings, Purpose, RowOrder, Split, TaskSelection, Trainer, TrainingExample
from schemas.renderings import QuestionKind, RenderedQuestion, RenderingName, Transcript
from schemas.tasks import SpanKind
from schemas.trajectories import HideMode

KINDS = st.lists(st.sampled_from(list(SpanKind)), min_size=1, max_size=4)
DRAWN = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), KINDS, st.floats(0, 9) | st.none(), st.booleans()), max_size=30
)


def make_settings(**more: Any) -> ExportSettings:
    return ExportSettings(trainer=Trainer.TRL, rendering=RenderingName.SEARCH_R1, **({"split": 0.3} | more))


def make_example(
    number: int, page: int, question: int, kinds: Sequence[SpanKind], difficulty: float | None, accepted: bool
) -> TrainingExample:
    return TrainingExample(
        trajectory_id=f"trajectory {number}",
        task_id=f"task {question}",
        document_id=f"page {page}",
        page_id=page,
        passage_id=f"passage {page}",
        title="A page",
        policy="extractive",
        accepted=accepted,
        hide=HideMode.PASSAGE,
        shortcut=False,
        shown=(),
        mask_kinds=tuple(kinds),
        difficulties=(None,) * len(kinds),
        difficulty=difficulty,
        golds=(("1868",),) * len(kinds),
        question=RenderedQuestion(kind=QuestionKind.RAMP, lang="en", text=f"{page} {question}", answers=len(kinds)),
        transcript=Transcript(steps=(), think=f"{question}", answers=("1868",)) if accepted else None,
        fault=None if accepted else "not_accepted",
    )


def choose(
    examples: Sequence[TrainingExample], settings: ExportSettings, purpose: Purpose
) -> tuple[dict[str, str], list[str]]:
    """The reason of every example, and the ids of the rows in order, training first."""
    index = ExampleIndex(settings)
    for place, example in enumerate(examples):
        index.append(example, place)
    choice = index.choose(purpose)
    rows = [number for split in Split for number in choice.splits[split]]
    assert sorted(rows) == np.flatnonzero(choice.codes == 0).tolist()
    reasons = {example.trajectory_id: REASONS[code] for example, code in zip(examples, choice.codes, strict=True)}
    return reasons, [examples[number].trajectory_id for number in rows]


@given(
    drawn=DRAWN,
    purpose=st.sampled_from(list(Purpose)),
    order=st.sampled_from(list(RowOrder)),
    caps=st.tuples(st.none() | st.integers(1, 3), st.none() | st.integers(1, 5)),
    shuffle=st.randoms(),
)
def test_the_choice_depends_on_content_alone(
    drawn: list[Any], purpose: Purpose, order: RowOrder, caps: tuple[int | None, int | None], shuffle: Any
) -> None:
    examples = [make_example(number, *values) for number, values in enumerate(drawn)]
    settings = make_settings(order=order, max_per_page=caps[0], max_per_kind=caps[1])
    chosen = choose(examples, settings, purpose)
    moved = list(examples)
    shuffle.shuffle(moved)
    assert choose(moved, settings, purpose) == chosen
    reasons, rows = chosen
    by_id = {example.trajectory_id: example for example in examples}
    kept = [by_id[name] for name in rows]
    assert all((reasons[name] == UNFIT) == (not by_id[name].accepted) for name in by_id)
    pages = Counter(example.document_id for example in kept)
    kinds = Counter(kind for example in kept for kind in set(example.mask_kinds))
    assert all(count <= (caps[0] or len(kept)) for count in pages.values())
    assert all(count <= (caps[1] or len(kept)) for count in kinds.values())
    texts = [example.question.text for example in kept]
    assert len(texts) == len(set(texts))
    assert (OVER_PAGE in reasons.values()) <= (caps[0] is not None)
    assert (OVER_KIND in reasons.values()) <= (caps[1] is not None)


def test_no_page_is_in_both_splits_and_the_share_is_about_right() -> None:
    examples = [make_example(n, n // 3, n, [SpanKind.DATE], 1.0, True) for n in range(900)]
    index = ExampleIndex(make_settings(split=0.2))
    for place, example in enumerate(examples):
        index.append(example, place)
    splits = index.choose(Purpose.SFT).splits
    pages = [{examples[number].document_id for number in splits[split]} for split in Split]
    assert not pages[0] & pages[1]
    assert 0.12 < len(pages[1]) / 300 < 0.28


def test_a_curriculum_goes_from_few_masks_to_many_and_from_easy_to_hard() -> None:
    wanted = [(1, 0.5), (1, 2.0), (1, None), (2, 0.1), (2, 3.0)]
    examples = [
        make_example(n, n, n, [SpanKind.DATE] * masks, difficulty, True) for n, (masks, difficulty) in enumerate(wanted)
    ]
    _, rows = choose(examples[::-1], make_settings(order=RowOrder.CURRICULUM, split=0.0), Purpose.SFT)
    assert rows == [example.trajectory_id for example in examples]


def test_the_seed_decides_the_shuffle() -> None:
    examples = [make_example(n, n, n, [SpanKind.DATE], 1.0, True) for n in range(50)]
    orders = [choose(examples, make_settings(seed=seed, split=0.0), Purpose.SFT)[1] for seed in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_prompts_are_one_a_task_and_may_be_of_tasks_that_nobody_solved() -> None:
    examples = [make_example(n, 1, n // 2, [SpanKind.DATE], 1.0, accepted=n == 0) for n in range(4)]
    reasons, rows = choose(examples, make_settings(), Purpose.RL)
    assert rows == ["trajectory 0"]
    assert Counter(reasons.values()) == {"": 1, UNFIT: 3}
    reasons, rows = choose(examples, make_settings(tasks=TaskSelection.ALL), Purpose.RL)
    assert Counter(reasons.values()) == {"": 2, DUPLICATE: 2}


def test_demonstrations_by_a_shortcut_are_left_out_unless_they_are_asked_for() -> None:
    examples = [
        make_example(n, n, n, [SpanKind.DATE], 1.0, accepted=n < 3).model_copy(update={"shortcut": n % 2 == 0})
        for n in range(4)
    ]
    reasons, rows = choose(examples, make_settings(), Purpose.SFT)
    assert rows == ["trajectory 1"]
    assert Counter(reasons.values()) == {"": 1, SHORTCUT: 2, UNFIT: 1}
    for settings, purpose in ((make_settings(shortcuts=True), Purpose.SFT), (make_settings(), Purpose.RL)):
        assert len(choose(examples, settings, purpose)[1]) == 3


@given(st.lists(st.text(), max_size=5), st.randoms())
def test_examples_come_back_from_disk_in_any_order(texts: list[str], shuffle: Any) -> None:
    examples = [
        make_example(n, 1, n, [SpanKind.DATE], None, True).model_copy(
            update={"title": text.encode("utf-8", "ignore").decode()}
        )
        for n, text in enumerate(texts)
    ]
    spill = ExampleSpill(BytesIO())
    places = [(spill.append(example), example) for example in examples]
    shuffle.shuffle(places)
    assert list(spill.read(place for place, _ in places)) == [example for _, example in places]


@given(
    attempts=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(list(HideMode)), st.booleans()), min_size=1, max_size=20
    ),
    tasks=st.sampled_from(list(TaskSelection)),
    shuffle=st.randoms(),
)
def test_a_task_is_one_prompt_told_by_the_attempt_from_which_most_was_withheld(
    attempts: list[tuple[int, HideMode, bool]], tasks: TaskSelection, shuffle: Any
) -> None:
    examples = [
        make_example(number, 0, task, [SpanKind.DATE], None, accepted).model_copy(update={"hide": hide})
        for number, (task, hide, accepted) in enumerate(attempts)
    ]
    shuffle.shuffle(examples)
    _, rows = choose(examples, make_settings(tasks=tasks), Purpose.RL)
    kept = {one.task_id: one for one in examples if one.trajectory_id in rows}
    assert len(kept) == len(rows)
    able = [one for one in examples if one.accepted or tasks is TaskSelection.ALL]
    assert kept.keys() == {one.task_id for one in able}
    for one in able:
        assert list(HideMode).index(kept[one.task_id].hide) >= list(HideMode).index(one.hide)
