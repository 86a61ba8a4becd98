"""One trajectory beside its passage, prepared for the template."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.report_data import ReportExample
from pipeline.report.text_pieces import TextPiece, cut_at_masks, mark_forms
from schemas.judgements import MaskScore
from schemas.tasks import MaskTask, Span
from schemas.trajectories import SearchCall, ShownPassage

GIST_CHARS = 90


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer against its gold span."""

    number: int
    """Counted from 1."""
    state: str
    """`right`, `wrong`, `missing`, or `given` before it is judged."""
    gold: Span
    answer: str | None
    score: MaskScore | None
    """None before it is judged."""
    evidence: str | None
    """Anchor of the passage it names as evidence; None when no such passage was shown."""


@dataclass(frozen=True, slots=True)
class PassageView:
    """Passage that was shown."""

    anchor: str
    title: tuple[TextPiece, ...]
    gist: str
    """Start of its text, which distinguishes passages of one title."""
    text: tuple[TextPiece, ...]
    holds_gold: bool
    origin: str
    """`passage` for the one that was masked, `page` for another of its page, else empty."""
    cited: tuple[int, ...]
    """Numbers of the masks whose answers name it as evidence."""


@dataclass(frozen=True, slots=True)
class TurnView:
    """One step."""

    number: int
    think: str
    calls: tuple[SearchCall, ...]
    passages: tuple[PassageView, ...]
    conclusion: str


@dataclass(frozen=True, slots=True)
class ExampleView:
    """Everything shown of one example."""

    number: int
    anchor: str
    example: ReportExample
    passage: tuple[TextPiece, ...]
    answers: tuple[AnswerView, ...]
    turns: tuple[TurnView, ...]


def view_example(number: int, example: ReportExample) -> ExampleView:
    """Join task, trajectory and judgement. Anchors are made of numbers only, never of outside text."""
    anchor = f"example-{number}"
    trajectory = example.trajectory
    given = {answer.mask: answer for answer in trajectory.answers}
    anchors = _place_anchors(anchor, example)
    answers = []
    scores: tuple[MaskScore | None, ...] = tuple(example.judgement.scores) if example.judgement else ()
    for mask, span in enumerate(example.task.spans):
        score = scores[mask] if mask < len(scores) else None
        answer = given.get(mask)
        text = answer.answer if answer else None
        state = _name_state(text, score)
        evidence = anchors.get(answer.evidence) if answer and answer.evidence else None
        answers.append(AnswerView(mask + 1, state, span, text, score, evidence))
    return ExampleView(
        number=number,
        anchor=anchor,
        example=example,
        passage=cut_at_masks(example.task.masked_text),
        answers=tuple(answers),
        turns=_view_turns(anchor, example, tuple(answers)),
    )


def _name_state(answer: str | None, score: MaskScore | None) -> str:
    if score is not None and score.right:
        return "right"
    if not (answer and answer.strip()):
        return "missing"
    return "given" if score is None else "wrong"


def _place_anchors(anchor: str, example: ReportExample) -> dict[str, str]:
    """The anchor of each passage where it was first shown."""
    anchors: dict[str, str] = {}
    for turn_number, turn in enumerate(example.trajectory.turns, start=1):
        for place, shown in enumerate(turn.shown, start=1):
            anchors.setdefault(shown.passage_id, f"{anchor}-step-{turn_number}-passage-{place}")
    return anchors


def _view_turns(anchor: str, example: ReportExample, answers: tuple[AnswerView, ...]) -> tuple[TurnView, ...]:
    gold = [form for answer in answers for form in (answer.gold.text, *answer.gold.aliases)]
    wrong = [answer.answer for answer in answers if answer.state == "wrong" and answer.answer]
    turns = []
    for number, turn in enumerate(example.trajectory.turns, start=1):
        passages = []
        for place, shown in enumerate(turn.shown, start=1):
            here = f"{anchor}-step-{number}-passage-{place}"
            title, text = mark_forms(shown.title, gold, wrong), mark_forms(shown.text, gold, wrong)
            holds = any(piece.mark == "gold" for piece in (*title, *text))
            cited = tuple(answer.number for answer in answers if answer.evidence == here)
            origin = _name_origin(shown, example.task)
            passages.append(PassageView(here, title, shown.text[:GIST_CHARS], text, holds, origin, cited))
        turns.append(TurnView(number, turn.think, turn.calls, tuple(passages), turn.conclusion))
    return tuple(turns)


def _name_origin(shown: ShownPassage, task: MaskTask) -> str:
    """Whether a passage is from the task's own page: all passages of a page have its title."""
    if shown.passage_id == task.passage_id:
        return "passage"
    return "page" if shown.title == task.page_title else ""
