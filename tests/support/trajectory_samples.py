"""Small tasks, trajectories and attempts for tests: one right attempt, and ways to bend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.judging.judge_stage import JudgedAttempt
from schemas.tasks import MASK, AnswerStyle, MaskTask, Span, SpanKind, SpanSource
from schemas.trajectories import (
    HideMode,
    Hit,
    MaskAnswer,
    PromptUse,
    RoleUsage,
    SearchCall,
    SearchStatus,
    ShownPassage,
    StopReason,
    Trajectory,
    Turn,
)


def make_span(text: str, start: int, aliases: Sequence[str] = (), kind: SpanKind | None = None) -> Span:
    kind = kind or (SpanKind.DATE if text.isdigit() else SpanKind.ENTITY)
    return Span(
        start=start,
        end=start + len(text),
        text=text,
        kind=kind,
        label=kind.value,
        source=SpanSource.RULE if kind is SpanKind.DATE else SpanSource.LINK,
        target=None,
        aliases=tuple(aliases),
        difficulty=round(min(0.99, 0.3 + 0.05 * len(text)), 4),
        surprisal=2.0 * len(text),
        perplexity=3.5 * len(text) ** 1.8,
    )


def make_task(text: str, golds: Sequence[str], name: str = "t0", lang: str = "en", **more: Any) -> MaskTask:
    """The task that hides each gold where it first stands in the text."""
    aliases = more.pop("aliases", {})
    spans = sorted((make_span(g, text.index(g), aliases.get(g, ())) for g in golds), key=lambda span: span.start)
    masked = text
    for span in reversed(spans):
        masked = masked[: span.start] + MASK + masked[span.end :]
    values: dict[str, Any] = {
        "task_id": name,
        "passage_id": f"{name}-source",
        "document_id": f"{name}-page",
        "page_id": 7,
        "lang": lang,
        "title": "A page",
        "section": ("History",),
        "masked_text": masked,
        "spans": tuple(spans),
        "mask_count": len(spans),
        "answer_style": AnswerStyle.SPANS,
        "difficulty": 0.75,
    }
    return MaskTask(**(values | more))


def make_turn(passages: Sequence[tuple[str, str, str]], **more: Any) -> Turn:
    """A step that showed these passages: id, title and text of each."""
    hits = tuple(Hit(passage_id=p[0], score=9.0 - n) for n, p in enumerate(passages))
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    values: dict[str, Any] = {
        "think": "Which year is meant?",
        "calls": tuple(
            SearchCall(query=q, status=status, hits=hits, detail=None) for q in ("founded year", "founding", "when")
        ),
        "shown": tuple(ShownPassage(passage_id=p[0], title=p[1], text=p[2]) for p in passages),
        "conclusion": "The passage on the page tells it.",
    }
    return Turn(**(values | more))


def make_trajectory(task: MaskTask, answers: Sequence[str | None], turns: Sequence[Turn], **more: Any) -> Trajectory:
    shown = [p.passage_id for turn in turns for p in turn.shown]
    complete = all((answer or "").strip() for answer in answers)
    values: dict[str, Any] = {
        "trajectory_id": f"{task.task_id}-try",
        "task_id": task.task_id,
        "attempt": 0,
        "policy": "extractive",
        "hide": HideMode.PASSAGE,
        "turns": tuple(turns),
        "answers": tuple(
            MaskAnswer(mask=n, answer=a, evidence=shown[0] if a and shown else None) for n, a in enumerate(answers)
        ),
        "final_think": "Everything is known now.",
        "stop_reason": StopReason.ANSWERED if complete else StopReason.GAVE_UP,
        "usage": (
            RoleUsage(role="extractive", model="rules", calls=3, prompt_tokens=0, completion_tokens=0, cost=0.0),
        ),
        "prompts": (PromptUse(name="extractive_plan.en", digest="0" * 20),),
        "sampling": "{}",
        "engine": "bm25-test",
    }
    return Trajectory(**(values | more))


def make_attempt(
    text: str = "The school was founded in 1868 by Ada Byron.",
    golds: Sequence[str] = ("1868",),
    answers: Sequence[str | None] = ("1868",),
    shown: str = "Ada Byron founded the school in 1868.",
    aliases: dict[str, Sequence[str]] | None = None,
    **more: Any,
) -> JudgedAttempt:
    """One attempt that was shown one passage of the task's page, called `p1`."""
    task = make_task(text, golds, aliases=aliases or {})
    trajectory = make_trajectory(task, answers, [make_turn([("p1", "Ada Byron", shown)])], **more)
    return JudgedAttempt(trajectory=trajectory, task=task, page_passages=frozenset({"p1"}))
