"""Prompts of planner, rewriter and observer, written from the trajectory so far.

Guarantees: a prompt depends on the progress alone and contains nothing of the task but what `OpenTask` contains; text
from outside (the page, passages, earlier replies) is inert in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.agents.roles import PlannedQuestion, TrajectoryProgress
from pipeline.rendering.task_text import REPEATED, describe_repeats, number_masks, use_templates, write_page
from pipeline.search.engine import FoundPassage
from prompts.library import Block, Template, join_blocks, load_template, load_words
from schemas.renderings import QuestionKind
from schemas.trajectories import MaskAnswer, PromptUse

TEMPLATES = (
    *("plan", "rewrite", "observe", "ask_again"),
    *("shown_passage", "past_step", "known_answer", "answer_evidence", "agent_words"),
)
FOR_QUESTIONS = {
    **{"plan": "plan_question", "rewrite": "rewrite_question", "observe": "observe_question"},
    "known_answer": "best_answer",
}
"""Replacements of templates for attempts at questions."""
DATED = "dated_system"
BESIDE = 100  # characters of evidence quoted on each side of an answer


def list_prompts(
    lang: str, dated: bool, kind: QuestionKind = QuestionKind.RAMP, repeats: bool = False
) -> tuple[PromptUse, ...]:
    """Return the templates that affect a trajectory in a language. `repeats`: whether its task hides mentions."""
    names = [*(_name(name, kind) for name in TEMPLATES), *([REPEATED] if repeats else [])]
    return use_templates([*names, DATED] if dated else names, lang)


def write_plan(progress: TrajectoryProgress, steps_left: int) -> str:
    """Return the planner's prompt."""
    return _load("plan", progress).fill(
        **_write_task(progress),
        steps=_write_steps(progress),
        answers=_write_answers(progress),
        left=str(steps_left),
    )


def write_rewrite(progress: TrajectoryProgress, plan: PlannedQuestion, count: int) -> str:
    """Return the rewriter's prompt."""
    tried = dict.fromkeys(call.query for turn in progress.turns for call in turn.calls)
    return _load("rewrite", progress).fill(
        **_write_task(progress),
        plan=_write_plan(progress, plan),
        answers=_write_answers(progress),
        tried="\n".join(f"- {query}" for query in tried) or _words(progress)["none"],
        count=str(count),
    )


def write_observe(progress: TrajectoryProgress, plan: PlannedQuestion, allow_memory: bool) -> str:
    """Return the observer's prompt."""
    return _load("observe", progress).fill(
        **_write_task(progress),
        plan=_write_plan(progress, plan),
        answers=_write_answers(progress),
        passages=write_passages(progress.seen, progress.task.lang),
        memory=_words(progress)["memory" if allow_memory else "strict"],
    )


def write_passages(passages: Iterable[FoundPassage], lang: str) -> Block:
    """Return passages as shown, numbered from 1."""
    shown = load_template("shown_passage", lang)
    blocks = (
        Block(shown.fill(number=str(number), title=passage.title, text=passage.text))
        for number, passage in enumerate(passages, start=1)
    )
    return join_blocks(blocks, load_words("agent_words", lang)["no_results"])


def _load(name: str, progress: TrajectoryProgress) -> Template:
    return load_template(_name(name, progress.task.kind), progress.task.lang)


def _name(name: str, kind: QuestionKind) -> str:
    return FOR_QUESTIONS.get(name, name) if kind is QuestionKind.QA else name


def _words(progress: TrajectoryProgress) -> dict[str, str]:
    return load_words("agent_words", progress.task.lang)


def _write_task(progress: TrajectoryProgress) -> dict[str, str]:
    """Return the fields that describe the task."""
    task = progress.task
    if task.kind is QuestionKind.QA:
        return {"text": task.masked_text}
    note = describe_repeats((task.title, *task.section, task.masked_text), task.lang)
    return {"page": write_page(task.title, task.section), "text": number_masks(task.masked_text) + note}


def _write_plan(progress: TrajectoryProgress, plan: PlannedQuestion) -> str:
    named = plan.mask is not None and progress.task.kind is QuestionKind.RAMP
    return f"[mask {(plan.mask or 0) + 1}] {plan.think}" if named else plan.think


def _write_steps(progress: TrajectoryProgress) -> Block:
    template = load_template("past_step", progress.task.lang)
    steps = (
        Block(
            template.fill(
                number=str(number),
                think=turn.think,
                queries=" | ".join(call.query for call in turn.calls),
                conclusion=turn.conclusion,
            )
        )
        for number, turn in enumerate(progress.turns, start=1)
    )
    return join_blocks(steps, _words(progress)["none"])


def _write_answers(progress: TrajectoryProgress) -> Block:
    task, words = progress.task, _words(progress)
    template = _load("known_answer", progress)
    numbers = {passage.passage_id: number for number, passage in enumerate(progress.seen, start=1)}

    def write(answer: MaskAnswer) -> Block:
        place = {"number": str(answer.mask + 1)} if "number" in template.fields else {}
        number = numbers.get(answer.evidence or "")
        evidence = words["no_passage"] if number is None else _write_evidence(progress, number, answer.answer or "")
        return Block(template.fill(answer=answer.answer or words["unknown"], evidence=evidence, **place))

    known = {answer.mask: answer for answer in progress.answers}
    answers = (known.get(mask, MaskAnswer(mask=mask, answer=None, evidence=None)) for mask in range(task.mask_count))
    return join_blocks(map(write, answers), words["none"])


def _write_evidence(progress: TrajectoryProgress, number: int, answer: str) -> str:
    """Return the number and title of a passage, and its text around an answer."""
    passage = progress.seen[number - 1]
    at = max(0, passage.text.find(answer))
    start, end = max(0, at - BESIDE), at + len(answer) + BESIDE
    snippet = " ".join(passage.text[start:end].split())
    template = load_template("answer_evidence", progress.task.lang)
    return template.fill(number=str(number), title=passage.title, snippet=snippet).strip()
